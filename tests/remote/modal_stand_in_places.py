"""What a container of the stand-in for Modal's server finds: a directory, variables and files.

Its files are those that were mounted and those that were copied into its image, written to a directory of this machine;
only what lies below /root is there for it, as Python path. The packages are those of this environment.
"""

import hashlib
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from modal_proto import api_pb2

from tests.remote.modal_stand_in_functions import Definition

if TYPE_CHECKING:
    from tests.remote.modal_stand_in import ModalStandIn

TASK_HEADER = "x-stand-in-task"  # says which container calls; all use one address
STORE_VARIABLE = "LLM_SCRATCH_STORE"
KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "TMPDIR", "VIRTUAL_ENV")

# A container has our code only as far as it was mounted: not what is installed here in editable form.
SITE = """\
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
sys.path[:] = [entry for entry in sys.path if "__editable__" not in entry and entry != {repository!r}]
"""


class Places:
    def __init__(self, server: "ModalStandIn"):
        self._server = server

    def directory(self, task_id: str) -> Path:
        directory = self._server.directory / "containers" / task_id
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def environment(self, task_id: str, definition: Definition) -> dict[str, str]:
        function = definition.function
        directory = self.directory(task_id)
        arguments = api_pb2.ContainerArguments(
            task_id=task_id,
            function_id=definition.function_id,
            app_id=definition.app_id,
            function_def=function,
            serialized_params=definition.parameters,
            environment_name="main",
            app_layout=self._server.functions.layout(self._server.objects.apps[definition.app_id]),
        )
        (directory / "arguments").write_bytes(arguments.SerializeToString())
        volumes = {mount.mount_path: self._volume_directory(mount) for mount in function.volume_mounts}
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {"HOME": str(directory), "PYTHONUNBUFFERED": "1"}
        for command in self._server.objects.image_commands(function.image_id) if function.image_id else ():
            if command.startswith("ENV ") and "$" not in command:
                for name, value in (part.split("=", 1) for part in shlex.split(command[4:])):
                    environment[name] = below_mounts(value, volumes)
        for secret_id in function.secret_ids:
            environment |= self._server.objects.variables(secret_id)
        if volumes:
            environment[STORE_VARIABLE] = volumes.get("/store") or next(iter(volumes.values()))
        return environment | {
            **self._server.containers.environment,
            "PYTHONPATH": os.pathsep.join([str(self._root(function) / "root"), str(self._site())]),
            "MODAL_SERVER_URL": f"http://127.0.0.1:{self._server.port}",
            "MODAL_OVERRIDE_HEADERS": f"{TASK_HEADER}:{task_id}",
            "MODAL_CONTAINER_ARGUMENTS_PATH": str(directory / "arguments"),
            "MODAL_DISABLE_API_PROXY": "1",
            "NO_PROXY": "127.0.0.1",
            "MODAL_IS_REMOTE": "1",
            "MODAL_TASK_ID": task_id,
            "MODAL_IMAGE_ID": function.image_id,
            "MODAL_ENVIRONMENT": "main",
            "MODAL_CLOUD_PROVIDER": "CLOUD_PROVIDER_AWS",
            "MODAL_REGION": "us-east-1",
        }

    def _volume_directory(self, mount: api_pb2.VolumeMount) -> str:
        directory = self._server.files.volume(mount.volume_id).directory / mount.sub_path.strip("/")
        directory.mkdir(parents=True, exist_ok=True)
        return str(directory)

    def _root(self, function: api_pb2.Function) -> Path:
        """A directory with the files of a function's image and mounts; one for all that have the same."""
        objects = self._server.objects
        files: dict[str, str] = {}
        for layer in objects.layers(function.image_id) if function.image_id else ():
            copies = [re.fullmatch(r"COPY \. (\S+)", command) for command in layer.dockerfile_commands]
            for copy in filter(None, copies):
                names = objects.mounts.get(layer.context_mount_id, [])
                files |= {os.path.join(copy[1], file.filename.lstrip("/")): file.sha256_hex for file in names}
        for mount_id in function.mount_ids:
            files |= {file.filename: file.sha256_hex for file in objects.mounts.get(mount_id, [])}
        digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
        root = self._server.directory / "roots" / digest
        if not root.exists():
            root.parent.mkdir(exist_ok=True)
            making = Path(tempfile.mkdtemp(dir=root.parent))
            (making / "root").mkdir()
            for name, sha in files.items():
                path = making / name.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    os.link(self._server.files.content(sha), path)
            making.rename(root)
        return root

    def _site(self) -> Path:
        site = self._server.directory / "site"
        if not site.exists():
            site.mkdir()
            repository = str(Path(__file__).resolve().parents[2])
            (site / "sitecustomize.py").write_text(SITE.format(repository=repository))
        return site


def below_mounts(value: str, volumes: dict[str, str]) -> str:
    """A path below a Volume's mount path as it is on this machine."""
    for mount_path, directory in volumes.items():
        if value == mount_path or value.startswith(f"{mount_path}/"):
            return directory + value.removeprefix(mount_path)
    return value
