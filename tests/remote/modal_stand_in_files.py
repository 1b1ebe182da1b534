"""Content of the stand-in for Modal's server: uploads, blobs and Volumes, and their HTTP half."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from aiohttp import web
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpclib import Status
from grpclib.exceptions import GRPCError
from modal_proto import api_pb2

if TYPE_CHECKING:
    from tests.remote.modal_stand_in import ModalStandIn
    from tests.remote.modal_stand_in_containers import Container

BLOCK = 8 * 1024 * 1024  # bytes that are sent in one piece; Modal's number


@dataclass
class Volume:
    volume_id: str
    name: str  # "" if it belongs to nobody but its maker
    version: int
    directory: Path

    @property
    def metadata(self) -> api_pb2.VolumeMetadata:
        return api_pb2.VolumeMetadata(name=self.name, version=self.version)  # type: ignore[arg-type]

    def path(self, inside: str) -> Path:
        """Where a path of the Volume is on this machine. INVALID_ARGUMENT if it leads out of the Volume."""
        parts = [part for part in PurePosixPath(inside).parts if part not in ("/", ".")]
        if ".." in parts:
            raise GRPCError(Status.INVALID_ARGUMENT, f"Path {inside!r} leads out of the Volume.")
        return self.directory.joinpath(*parts)

    def existing(self, inside: str) -> Path:
        path = self.path(inside)
        if not path.exists():
            raise GRPCError(Status.NOT_FOUND, f"No such file or directory: {inside!r}")
        return path


class Files:
    """Uploaded content by its hash, blobs, and Volumes as directories."""

    def __init__(self, server: "ModalStandIn"):
        self._server = server
        self.volumes: dict[str, Volume] = {}
        self.commits: list[str] = []
        self.reloads: list[str] = []
        self._break_after = 0
        self._breaks = 0
        self._url = ""

    async def start(self) -> None:
        for name in ("content", "blobs", "reads", "volumes", "incoming"):
            (self._server.directory / name).mkdir(exist_ok=True)
        app = web.Application(client_max_size=1 << 31)
        app.router.add_put("/{kind}/{name}", self._put)
        app.router.add_get("/blobs/{name}", self._get_blob)
        app.router.add_get("/reads/{name}/{start}/{length}", self._get_block)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def break_after(self, count: int, times: int | None) -> None:
        self._break_after, self._breaks = count, 1 << 30 if times is None else times

    def named(self, name: str, version: int = api_pb2.VOLUME_FS_VERSION_V1) -> Volume:
        for volume in self.volumes.values():
            if volume.name == name:
                return volume
        return self._new(name, version)

    def _new(self, name: str, version: int) -> Volume:
        volume_id = self._server.new_id("vo")
        directory = self._server.directory / "volumes" / (name or volume_id)
        directory.mkdir(parents=True, exist_ok=True)
        version = version or api_pb2.VOLUME_FS_VERSION_V1
        self.volumes[volume_id] = Volume(volume_id, name, version, directory)
        return self.volumes[volume_id]

    def volume(self, volume_id: str) -> Volume:
        if volume_id not in self.volumes:
            raise GRPCError(Status.NOT_FOUND, f"Volume {volume_id!r} not found.")
        return self.volumes[volume_id]

    def content(self, sha256_hex: str) -> Path:
        return self._server.directory / "content" / sha256_hex

    def blob(self, blob_id: str) -> Path:
        return self._server.directory / "blobs" / blob_id

    # HTTP

    async def _put(self, request: web.Request) -> web.Response:
        data = await request.read()
        kind, name = request.match_info["kind"], request.match_info["name"]
        if kind == "content":  # a block of a Volume's file
            assert hashlib.sha256(data).hexdigest() == name
            self._write(self.content(name), data)
            return web.Response(body=name.encode())
        self._write(self.blob(name), data)
        return web.Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    async def _get_blob(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self.blob(request.match_info["name"]))

    async def _get_block(self, request: web.Request) -> web.StreamResponse:
        start, length = (int(request.match_info[key]) for key in ("start", "length"))
        with open(self._server.directory / "reads" / request.match_info["name"], "rb") as file:
            file.seek(start)
            data = file.read(length)
        response = web.StreamResponse()
        response.content_length = len(data)
        await response.prepare(request)
        if self._breaks and len(data) > self._break_after:
            await response.write(data[: self._break_after])
            self._break_after, self._breaks = 0, self._breaks - 1
            if request.transport:
                request.transport.close()
            return response
        self._break_after -= len(data) if self._breaks else 0
        await response.write(data)
        return response

    def _write(self, path: Path, data: bytes) -> None:
        incoming = self._server.directory / "incoming" / self._server.new_id("tmp")
        incoming.write_bytes(data)
        os.replace(incoming, path)

    # Blobs and uploads

    async def BlobCreate(self, request: api_pb2.BlobCreateRequest, container: Any) -> Message:
        blob_id = self._server.new_id("bl")
        urls = api_pb2.UploadUrlList(items=[f"{self._url}/blobs/{blob_id}"])
        return api_pb2.BlobCreateResponse(blob_ids=[blob_id], upload_urls=urls)

    async def BlobGet(self, request: api_pb2.BlobGetRequest, container: Any) -> Message:
        return api_pb2.BlobGetResponse(download_url=f"{self._url}/blobs/{request.blob_id}")

    async def MountPutFile(self, request: api_pb2.MountPutFileRequest, container: Any) -> Message:
        path = self.content(request.sha256_hex)
        kind = request.WhichOneof("data_oneof")
        if kind == "data":
            self._write(path, request.data)
        elif kind == "data_blob_id":
            shutil.copyfile(self.blob(request.data_blob_id), path)
        return api_pb2.MountPutFileResponse(exists=path.exists())

    async def MountBatchedCheckExistence(
        self, request: api_pb2.MountBatchedCheckExistenceRequest, container: Any
    ) -> Message:
        missing = [sha for sha in request.sha256_hex_hashes if not self.content(sha).exists()]
        checked_at = Timestamp()
        checked_at.GetCurrentTime()
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing, checked_at=checked_at)

    # Volumes

    async def VolumeGetOrCreate(self, request: api_pb2.VolumeGetOrCreateRequest, container: Any) -> Message:
        name, kind = request.deployment_name, request.object_creation_type
        exists = any(volume.name == name for volume in self.volumes.values())
        if kind == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED and not exists:
            raise GRPCError(Status.NOT_FOUND, f"Volume '{name}' not found in environment 'main'")
        if kind == api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS and exists:
            raise GRPCError(Status.ALREADY_EXISTS, f"Volume '{name}' exists already")
        if kind == api_pb2.OBJECT_CREATION_TYPE_EPHEMERAL:
            volume = self._new("", request.version)
        else:
            volume = self.named(name, request.version)
        return api_pb2.VolumeGetOrCreateResponse(
            volume_id=volume.volume_id,
            version=volume.version,  # type: ignore[arg-type]
            metadata=volume.metadata,
        )

    async def VolumeGetById(self, request: api_pb2.VolumeGetByIdRequest, container: Any) -> Message:
        volume = self.volume(request.volume_id)
        return api_pb2.VolumeGetByIdResponse(volume_id=volume.volume_id, metadata=volume.metadata)

    async def VolumeList(self, request: Any, container: Any) -> Message:
        named = [volume for volume in self.volumes.values() if volume.name]
        return api_pb2.VolumeListResponse(
            items=[api_pb2.VolumeListItem(label=v.name, volume_id=v.volume_id, metadata=v.metadata) for v in named]
        )

    async def VolumeHeartbeat(self, request: Any, container: Any) -> None: ...

    async def VolumeDelete(self, request: api_pb2.VolumeDeleteRequest, container: Any) -> None:
        shutil.rmtree(self.volume(request.volume_id).directory)
        del self.volumes[request.volume_id]

    async def VolumeCommit(self, request: api_pb2.VolumeCommitRequest, container: Any) -> Message:
        self.commits.append(self.volume(request.volume_id).name)
        return api_pb2.VolumeCommitResponse()

    async def VolumeReload(self, request: api_pb2.VolumeReloadRequest, container: "Container | None") -> None:
        volume = self.volume(request.volume_id)
        self.reloads.append(volume.name)
        if container and (path := open_below(volume.directory, container.pid)):
            message = "there are open files preventing the operation"
            raise GRPCError(Status.FAILED_PRECONDITION, f"{message}: {path}")

    async def VolumeListFiles2(self, request: Any, container: Any) -> AsyncIterator[Message]:
        for entry in self._entries(request):
            yield api_pb2.VolumeListFiles2Response(entries=[entry])

    async def VolumeListFiles(self, request: Any, container: Any) -> AsyncIterator[Message]:
        for entry in self._entries(request):
            yield api_pb2.VolumeListFilesResponse(entries=[entry])

    def _entries(self, request: Any) -> list[api_pb2.FileEntry]:
        volume = self.volume(request.volume_id)
        path = volume.existing(request.path)
        paths = [path]
        if path.is_dir():
            paths = sorted(path.rglob("*") if request.recursive else path.iterdir())
        entries = []
        for path in paths:
            try:
                status = path.lstat()
            except FileNotFoundError:  # written or renamed while we look
                continue
            kind = api_pb2.FileEntry.DIRECTORY if path.is_dir() else api_pb2.FileEntry.FILE
            name = path.relative_to(volume.directory).as_posix()
            size = 0 if path.is_dir() else status.st_size
            entries.append(api_pb2.FileEntry(path=name, type=kind, mtime=int(status.st_mtime), size=size))
        return entries

    async def VolumeGetFile2(self, request: api_pb2.VolumeGetFile2Request, container: Any) -> Message:
        path = self.volume(request.volume_id).existing(request.path)
        if path.is_dir():
            raise GRPCError(Status.NOT_FOUND, f"Is a directory: {request.path!r}")
        # A second name for the file as it is now: it may be replaced while its blocks are read.
        name = self._server.new_id("rd")
        os.link(path, self._server.directory / "reads" / name)
        size = path.stat().st_size
        start = min(request.start, size)
        end = min(start + request.len, size) if request.len else size
        urls = []
        at = start
        while at < end:
            block_end = min((at // BLOCK + 1) * BLOCK, end)
            urls.append(f"{self._url}/reads/{name}/{at}/{block_end - at}")
            at = block_end
        return api_pb2.VolumeGetFile2Response(get_urls=urls, size=size, start=start, len=end - start)

    async def VolumePutFiles2(self, request: api_pb2.VolumePutFiles2Request, container: Any) -> Message:
        volume = self.volume(request.volume_id)
        missing = []
        for i, file in enumerate(request.files):
            self._check_overwrite(volume, file.path, request.disallow_overwrite_existing_files)
            for j, block in enumerate(file.blocks):
                name = block.contents_sha256.hex()
                if not self.content(name).exists():
                    url = f"{self._url}/content/{name}"
                    entry = api_pb2.VolumePutFiles2Response.MissingBlock(file_index=i, block_index=j, put_url=url)
                    missing.append(entry)
        for file in request.files if not missing else ():
            data = bytearray()
            for i, block in enumerate(file.blocks):  # sent without the zeros at its end
                length = min(BLOCK, file.size - i * BLOCK)
                data += self.content(block.contents_sha256.hex()).read_bytes().ljust(length, b"\0")
            self._put_file(volume, file.path, bytes(data), file.mode)
        return api_pb2.VolumePutFiles2Response(missing_blocks=missing)

    async def VolumePutFiles(self, request: api_pb2.VolumePutFilesRequest, container: Any) -> None:
        volume = self.volume(request.volume_id)
        for file in request.files:
            self._check_overwrite(volume, file.filename, request.disallow_overwrite_existing_files)
        for file in request.files:
            self._put_file(volume, file.filename, self.content(file.sha256_hex).read_bytes(), file.mode)

    def _check_overwrite(self, volume: Volume, path: str, disallowed: bool) -> None:
        if disallowed and volume.path(path).exists():
            raise GRPCError(Status.ALREADY_EXISTS, f"{path}: already exists")

    def _put_file(self, volume: Volume, inside: str, data: bytes, mode: int) -> None:
        path = volume.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write(path, data)
        path.chmod(mode or 0o644)

    async def VolumeRemoveFile2(self, request: Any, container: Any) -> None:
        path = self.volume(request.volume_id).existing(request.path)
        if path.is_dir() and not request.recursive:
            raise GRPCError(Status.INVALID_ARGUMENT, f"{request.path!r} is a directory")
        await asyncio.to_thread(shutil.rmtree if path.is_dir() else os.unlink, path)

    VolumeRemoveFile = VolumeRemoveFile2

    async def VolumeCopyFiles2(self, request: Any, container: Any) -> None:
        volume = self.volume(request.volume_id)
        target = volume.path(request.dst_path)
        for inside in request.src_paths:
            source = volume.existing(inside)
            to = target / source.name if target.is_dir() or request.dst_path.endswith("/") else target
            to.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, to, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, to)

    VolumeCopyFiles = VolumeCopyFiles2


def open_below(directory: Path, group: int) -> str:
    """A file below `directory` that a process of the process group has open or works in; "" if there is none."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) != group:
                continue
            links = [process / "cwd", *(process / "fd").iterdir()]
        except (OSError, ValueError):  # it has ended
            continue
        for link in links:
            try:
                path = os.readlink(link)
            except OSError:
                continue
            if path.startswith(f"{directory.resolve()}/"):
                return path
    return ""
