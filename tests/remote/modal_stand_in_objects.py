"""What the stand-in for Modal's server keeps by name: apps with their logs, images, mounts and secrets."""

import hashlib
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from grpclib import Status
from grpclib.exceptions import GRPCError
from modal_proto import api_pb2

if TYPE_CHECKING:
    from tests.remote.modal_stand_in import ModalStandIn

ENDED = (api_pb2.APP_STATE_STOPPING, api_pb2.APP_STATE_STOPPED)
CREATION = api_pb2.CreationInfo(created_at=time.time(), created_by="stand-in")


@dataclass
class App:
    app_id: str
    name: str  # "" until it is deployed
    description: str
    state: int
    function_ids: dict[str, str] = field(default_factory=dict)
    class_ids: dict[str, str] = field(default_factory=dict)
    logs: list[api_pb2.TaskLogsBatch] = field(default_factory=list)


@dataclass
class Secret:
    secret_id: str
    name: str
    variables: dict[str, str] | None  # None: as ModalStandIn.secrets has them now


class Objects:
    """Apps and what belongs to them, and what is looked up by name."""

    def __init__(self, server: "ModalStandIn"):
        self._server = server
        self.apps: dict[str, App] = {}
        self.images: dict[str, api_pb2.Image] = {}
        self.mounts: dict[str, list[api_pb2.MountFile]] = {}
        self._secrets: dict[str, Secret] = {}
        self._names: dict[tuple[str, str], str] = {}  # ("mount" or "secret", name) -> id

    # Apps

    def app(self, app_id: str) -> App:
        if app_id not in self.apps:
            raise GRPCError(Status.NOT_FOUND, f"App {app_id!r} not found")
        return self.apps[app_id]

    def deployed(self, name: str) -> App:
        for app in self.apps.values():
            if app.name == name and app.state == api_pb2.APP_STATE_DEPLOYED:
                return app
        raise GRPCError(Status.NOT_FOUND, f"App '{name}' not found in environment 'main'")

    def log(self, app_id: str, text: str, task_id: str = "", function_id: str = "") -> None:
        app = self.apps[app_id]
        item = api_pb2.TaskLogs(
            data=text, timestamp=time.time(), file_descriptor=api_pb2.FILE_DESCRIPTOR_STDOUT, function_call_id=""
        )
        batch = api_pb2.TaskLogsBatch(
            task_id=task_id, function_id=function_id, items=[item], entry_id=f"{len(app.logs) + 1}"
        )
        app.logs.append(batch)
        self._server.notify()

    async def AppCreate(self, request: api_pb2.AppCreateRequest, container: Any) -> Message:
        app = App(self._server.new_id("ap"), "", request.description, request.app_state)
        self.apps[app.app_id] = app
        url = f"https://modal.com/apps/stand-in/main/{app.app_id}"
        return api_pb2.AppCreateResponse(app_id=app.app_id, app_page_url=url, app_logs_url=url)

    async def AppGetOrCreate(self, request: api_pb2.AppGetOrCreateRequest, container: Any) -> Message:
        try:
            app = self.deployed(request.app_name)
        except GRPCError:
            if request.object_creation_type == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
                raise
            app = App(self._server.new_id("ap"), request.app_name, request.app_name, api_pb2.APP_STATE_DEPLOYED)
            self.apps[app.app_id] = app
        return api_pb2.AppGetOrCreateResponse(app_id=app.app_id)

    async def AppGetByDeploymentName(self, request: api_pb2.AppGetByDeploymentNameRequest, container: Any) -> Message:
        try:
            app_id = self.deployed(request.name).app_id
        except GRPCError:
            app_id = ""
        lifecycle = api_pb2.AppLifecycle(app_state=api_pb2.APP_STATE_DEPLOYED) if app_id else None
        return api_pb2.AppGetByDeploymentNameResponse(app_id=app_id, environment_name="main", lifecycle=lifecycle)

    async def AppGetLayout(self, request: api_pb2.AppGetLayoutRequest, container: Any) -> Message:
        return api_pb2.AppGetLayoutResponse(app_layout=self._server.functions.layout(self.app(request.app_id)))

    async def AppPublish(self, request: api_pb2.AppPublishRequest, container: Any) -> Message:
        app = self.app(request.app_id)
        app.name = request.name or app.name
        app.state = request.app_state or app.state
        app.function_ids, app.class_ids = dict(request.function_ids), dict(request.class_ids)
        self._server.containers.retire(app.app_id)  # those that run the code of the deployment before
        url = f"https://modal.com/apps/stand-in/main/deployed/{app.name}"
        return api_pb2.AppPublishResponse(url=url, deployed_at=time.time())

    async def AppHeartbeat(self, request: Any, container: Any) -> None: ...

    async def AppSetTags(self, request: Any, container: Any) -> None: ...

    async def AppClientDisconnect(self, request: api_pb2.AppClientDisconnectRequest, container: Any) -> None:
        app = self.app(request.app_id)
        if app.state in (api_pb2.APP_STATE_EPHEMERAL, api_pb2.APP_STATE_INITIALIZING):
            await self._stop(app)

    async def AppStop(self, request: api_pb2.AppStopRequest, container: Any) -> None:
        await self._stop(self.app(request.app_id))

    async def _stop(self, app: App) -> None:
        app.state = api_pb2.APP_STATE_STOPPED
        self._server.containers.stop_app(app.app_id)

    async def AppList(self, request: Any, container: Any) -> Message:
        item = api_pb2.AppListResponse.AppListItem
        return api_pb2.AppListResponse(
            apps=[
                item(
                    app_id=app.app_id,
                    name=app.name,
                    description=app.description,
                    state=app.state,  # type: ignore[arg-type]
                    created_at=time.time(),
                    n_running_tasks=len(self._server.containers.of_app(app.app_id)),
                )
                for app in self.apps.values()
            ]
        )

    async def AppGetLogs(self, request: api_pb2.AppGetLogsRequest, container: Any) -> AsyncIterator[Message]:
        app = self.app(request.app_id)
        sent = int(request.last_entry_id or 0)
        end = time.monotonic() + request.timeout

        def is_done() -> bool:
            return app.state in ENDED and not self._server.containers.of_app(app.app_id)

        while True:
            for batch in app.logs[sent:]:
                sent += 1
                yield batch
            if is_done() and sent == len(app.logs):
                yield api_pb2.TaskLogsBatch(app_done=True)
                return
            left = end - time.monotonic()
            if left <= 0:
                return
            await self._server.wait_for(lambda at=sent: len(app.logs) > at or is_done(), left)

    async def AppFetchLogs(self, request: api_pb2.AppFetchLogsRequest, container: Any) -> Message:
        logs = self.app(request.app_id).logs
        return api_pb2.AppFetchLogsResponse(batches=logs[-request.limit :] if request.limit else logs)

    async def EnvironmentGetOrCreate(self, request: api_pb2.EnvironmentGetOrCreateRequest, container: Any) -> Message:
        settings = api_pb2.EnvironmentSettings(image_builder_version="2025.06")
        metadata = api_pb2.EnvironmentMetadata(name=request.deployment_name or "main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-main", metadata=metadata)

    # Images and mounts

    async def ImageGetOrCreate(self, request: api_pb2.ImageGetOrCreateRequest, container: Any) -> Message:
        digest = hashlib.sha256(request.image.SerializeToString(deterministic=True)).hexdigest()
        image_id = f"im-{digest[:22]}"
        known = image_id in self.images
        self.images[image_id] = request.image
        if not known:  # so that it is asked for with ImageJoinStreaming
            return api_pb2.ImageGetOrCreateResponse(image_id=image_id)
        return api_pb2.ImageGetOrCreateResponse(image_id=image_id, result=SUCCESS, metadata=IMAGE)

    async def ImageJoinStreaming(
        self, request: api_pb2.ImageJoinStreamingRequest, container: Any
    ) -> AsyncIterator[Message]:
        for i, command in enumerate(self.images[request.image_id].dockerfile_commands):
            item = api_pb2.TaskLogs(
                data=f"=> Step {i}: {command}\n", file_descriptor=api_pb2.FILE_DESCRIPTOR_STDOUT, timestamp=time.time()
            )
            yield api_pb2.ImageJoinStreamingResponse(task_logs=[item])
        yield api_pb2.ImageJoinStreamingResponse(result=SUCCESS, metadata=IMAGE, eof=True)

    def layers(self, image_id: str) -> list[api_pb2.Image]:
        """An image and those that it is built on, the first one first."""
        image = self.images[image_id]
        return [layer for base in image.base_images for layer in self.layers(base.image_id)] + [image]

    def image_commands(self, image_id: str) -> list[str]:
        return [command for layer in self.layers(image_id) for command in layer.dockerfile_commands]

    async def MountGetOrCreate(self, request: api_pb2.MountGetOrCreateRequest, container: Any) -> Message:
        mount_id = self._server.new_id("mo")
        if request.deployment_name:  # Modal's own, such as the one with its library
            mount_id = self._names.setdefault(("mount", request.deployment_name), mount_id)
        self.mounts[mount_id] = list(request.files)
        parts = sorted(f"{file.filename}:{file.sha256_hex}" for file in request.files)
        checksum = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        metadata = api_pb2.MountHandleMetadata(content_checksum_sha256_hex=checksum)
        return api_pb2.MountGetOrCreateResponse(mount_id=mount_id, handle_metadata=metadata)

    # Secrets

    def variables(self, secret_id: str) -> dict[str, str]:
        secret = self._secrets[secret_id]
        return self._server.secrets.get(secret.name, {}) if secret.variables is None else secret.variables

    def _secret_metadata(self, secret: Secret) -> api_pb2.SecretMetadata:
        keys = list(self.variables(secret.secret_id))
        return api_pb2.SecretMetadata(name=secret.name, creation_info=CREATION, keys=keys, environment_name="main")

    async def SecretGetOrCreate(self, request: api_pb2.SecretGetOrCreateRequest, container: Any) -> Message:
        name, kind = request.deployment_name, request.object_creation_type
        if name and kind == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED and name not in self._server.secrets:
            raise GRPCError(Status.NOT_FOUND, f"Secret '{name}' not found in environment 'main'")
        if name and kind == api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS and name in self._server.secrets:
            raise GRPCError(Status.ALREADY_EXISTS, f"Secret '{name}' exists already")
        if name and kind != api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
            self._server.secrets[name] = dict(request.env_dict)
        missing = [key for key in request.required_keys if key not in self._server.secrets.get(name, {})]
        if missing:
            raise GRPCError(Status.NOT_FOUND, f"Secret '{name}' is missing key(s): {', '.join(missing)}")
        secret_id = self._server.new_id("st")
        if name:
            secret_id = self._names.setdefault(("secret", name), secret_id)
        self._secrets[secret_id] = Secret(secret_id, name, None if name else dict(request.env_dict))
        metadata = self._secret_metadata(self._secrets[secret_id])
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret_id, metadata=metadata)

    async def SecretGetInfo(self, request: api_pb2.SecretGetInfoRequest, container: Any) -> Message:
        return api_pb2.SecretGetInfoResponse(metadata=self._secret_metadata(self._secrets[request.secret_id]))

    async def SecretList(self, request: Any, container: Any) -> Message:
        items = [
            api_pb2.SecretListItem(label=name, metadata=api_pb2.SecretMetadata(name=name, creation_info=CREATION))
            for name in self._server.secrets
        ]
        return api_pb2.SecretListResponse(items=items, environment_name="main")


SUCCESS = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS)
IMAGE = api_pb2.ImageMetadata(
    image_builder_version="2025.06", python_version_info=f"Python {sys.version.split()[0]}", workdir="/root"
)
