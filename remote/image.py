"""What all functions share: the app, its image, its Volume, its optional secrets.

A container evaluates this file again. What it reads from this machine (pyproject.toml, constraints.txt) is read only
when the image is built, therefore, and whatever is optional follows from variables that the image carries.
"""

import os
import sys
import tomllib
from pathlib import Path

import modal

from remote import names

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = "/constraints.txt"


def python_version() -> str:
    """The least Python of pyproject.toml, the one that the tests run on. In a container: the one that there is."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _project("requires-python", here).removeprefix(">=")


def _project(key: str, otherwise: str) -> str:
    """What pyproject.toml says of the project; `otherwise` in a container, which has none."""
    try:
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][key])
    except OSError:
        return otherwise


# From what changes seldom to what changes often: a change of our code installs nothing again, as the source is only
# laid over the image when a container starts.
image = (
    modal.Image.debian_slim(python_version=python_version())
    .add_local_file(ROOT / "constraints.txt", CONSTRAINTS, copy=True)
    .pip_install("torch", extra_options=f"--constraint {CONSTRAINTS}")
    .pip_install_from_pyproject(str(ROOT / "pyproject.toml"), extra_options=f"--constraint {CONSTRAINTS}")
    .env(
        {
            names.SECRETS_FLAG: ",".join(names.secret_names()),
            names.NODES_FLAG: str(names.cluster_nodes()),
            names.VERSION_FLAG: _project("version", os.environ.get(names.VERSION_FLAG, "")),
            "HF_HOME": str(names.STORE / "hf"),  # what one function has downloaded, the others find
            "PYTHONUNBUFFERED": "1",
        }
    )
    .add_local_python_source("core", "playground", "remote", ignore=lambda path: path.suffix == ".pyc")
)

app = modal.App(names.APP, image=image, include_source=False)
volume = modal.Volume.from_name(names.VOLUME, create_if_missing=True)
volumes: dict = {str(names.STORE): volume}


def secrets(*wanted: str) -> list[modal.Secret]:
    """Those of the wanted optional secrets that this app has."""
    return [modal.Secret.from_name(names.SECRETS[name]) for name in wanted if name in names.secret_names()]


def is_cloud() -> bool:
    """Whether this runs in a Modal container, and not by `.local()` on somebody's machine."""
    return os.environ.get("MODAL_IS_REMOTE") == "1"


def commit() -> None:
    """Make what was written to the Volume last, and seen by others."""
    if is_cloud():
        try:
            volume.commit()
        except RuntimeError as error:
            # A commit is followed by a look at others' changes, which open files forbid; ours are stored by then.
            if "open files" not in str(error):
                raise


def reload() -> None:
    """See what others have committed."""
    if is_cloud():
        volume.reload()
