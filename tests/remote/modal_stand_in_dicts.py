"""Dicts and Queues of the stand-in for Modal's server."""

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from grpclib import Status
from grpclib.exceptions import GRPCError
from modal_proto import api_pb2

if TYPE_CHECKING:
    from tests.remote.modal_stand_in import ModalStandIn

CREATION = api_pb2.CreationInfo(created_at=time.time(), created_by="stand-in")


class Dicts:
    """Keys and values are what clients have pickled. A Dict is a table; a Queue one list for each partition."""

    def __init__(self, server: "ModalStandIn"):
        self._server = server
        self.dicts: dict[str, dict[bytes, bytes]] = {}
        self.queues: dict[str, dict[bytes, list[tuple[str, bytes]]]] = {}
        self._names: dict[tuple[str, str], str] = {}  # ("Dict" or "Queue", name) -> id

    def _look_up(self, kind: str, prefix: str, request: Any, table: dict[str, Any]) -> str:
        """The id of a named Dict or Queue, which is made if the request says so."""
        name, creation = request.deployment_name, request.object_creation_type
        object_id = self._names.get((kind, name)) if name else None
        if object_id is None:
            if name and creation == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
                raise GRPCError(Status.NOT_FOUND, f"{kind} '{name}' not found in environment 'main'")
            object_id = self._server.new_id(prefix)
            table[object_id] = {}
            if name:
                self._names[kind, name] = object_id
        elif creation == api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS:
            raise GRPCError(Status.ALREADY_EXISTS, f"{kind} '{name}' exists already")
        return object_id

    def _dict(self, dict_id: str) -> dict[bytes, bytes]:
        if dict_id not in self.dicts:
            raise GRPCError(Status.NOT_FOUND, f"Dict {dict_id!r} not found")
        return self.dicts[dict_id]

    async def DictGetOrCreate(self, request: api_pb2.DictGetOrCreateRequest, container: Any) -> Message:
        dict_id = self._look_up("Dict", "di", request, self.dicts)
        metadata = api_pb2.DictMetadata(name=request.deployment_name, creation_info=CREATION)
        return api_pb2.DictGetOrCreateResponse(dict_id=dict_id, metadata=metadata)

    async def DictHeartbeat(self, request: Any, container: Any) -> None: ...

    async def DictGet(self, request: api_pb2.DictGetRequest, container: Any) -> Message:
        value = self._dict(request.dict_id).get(request.key)
        return api_pb2.DictGetResponse(found=value is not None, value=value or b"")

    async def DictContains(self, request: api_pb2.DictContainsRequest, container: Any) -> Message:
        return api_pb2.DictContainsResponse(found=request.key in self._dict(request.dict_id))

    async def DictLen(self, request: api_pb2.DictLenRequest, container: Any) -> Message:
        return api_pb2.DictLenResponse(len=len(self._dict(request.dict_id)))

    async def DictUpdate(self, request: api_pb2.DictUpdateRequest, container: Any) -> Message:
        values = self._dict(request.dict_id)
        created = False
        for entry in request.updates:
            if not (request.if_not_exists and entry.key in values):
                values[entry.key] = entry.value
                created = True
        return api_pb2.DictUpdateResponse(created=created)

    async def DictPop(self, request: api_pb2.DictPopRequest, container: Any) -> Message:
        value = self._dict(request.dict_id).pop(request.key, None)
        return api_pb2.DictPopResponse(found=value is not None, value=value or b"")

    async def DictClear(self, request: api_pb2.DictClearRequest, container: Any) -> None:
        self._dict(request.dict_id).clear()

    async def DictDelete(self, request: api_pb2.DictDeleteRequest, container: Any) -> None:
        del self.dicts[request.dict_id]
        self._names = {key: value for key, value in self._names.items() if value != request.dict_id}

    async def DictContents(self, request: api_pb2.DictContentsRequest, container: Any) -> AsyncIterator[Message]:
        for key, value in list(self._dict(request.dict_id).items()):
            yield api_pb2.DictEntry(key=key, value=value)

    # Queues

    async def QueueGetOrCreate(self, request: api_pb2.QueueGetOrCreateRequest, container: Any) -> Message:
        queue_id = self._look_up("Queue", "qu", request, self.queues)
        metadata = api_pb2.QueueMetadata(name=request.deployment_name, creation_info=CREATION)
        return api_pb2.QueueGetOrCreateResponse(queue_id=queue_id, metadata=metadata)

    def _partition(self, request: Any) -> list[tuple[str, bytes]]:
        if request.queue_id not in self.queues:
            raise GRPCError(Status.NOT_FOUND, f"Queue {request.queue_id!r} not found")
        return self.queues[request.queue_id].setdefault(request.partition_key, [])

    async def QueueHeartbeat(self, request: Any, container: Any) -> None: ...

    async def QueuePut(self, request: api_pb2.QueuePutRequest, container: Any) -> None:
        self._partition(request).extend((self._server.new_id("en"), value) for value in request.values)
        self._server.notify()

    async def QueueGet(self, request: api_pb2.QueueGetRequest, container: Any) -> Message:
        items = self._partition(request)
        await self._server.wait_for(lambda: items, request.timeout)
        taken, items[:] = items[: request.n_values or 1], items[request.n_values or 1 :]
        return api_pb2.QueueGetResponse(values=[value for _, value in taken])

    async def QueueLen(self, request: api_pb2.QueueLenRequest, container: Any) -> Message:
        partitions = self.queues[request.queue_id].values() if request.total else [self._partition(request)]
        return api_pb2.QueueLenResponse(len=sum(len(items) for items in partitions))

    async def QueueClear(self, request: api_pb2.QueueClearRequest, container: Any) -> None:
        self.queues[request.queue_id].clear() if request.all_partitions else self._partition(request).clear()

    async def QueueNextItems(self, request: api_pb2.QueueNextItemsRequest, container: Any) -> Message:
        items = self._partition(request)

        def later() -> list[tuple[str, bytes]]:
            return [item for item in items if item[0] > request.last_entry_id]

        found = await self._server.wait_for(later, request.item_poll_timeout)
        return api_pb2.QueueNextItemsResponse(
            items=[api_pb2.QueueItem(value=value, entry_id=entry_id) for entry_id, value in found]
        )
