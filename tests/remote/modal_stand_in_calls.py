"""Calls of functions in the stand-in for Modal's server.

A call has inputs (one, or many for `map`). An input waits in the queue of its function until a container takes it, and
ends with an output; a failed one is tried again as the function's retry policy says: here for calls that were spawned,
by Modal's library for those that somebody waits for.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from grpclib import Status
from grpclib.exceptions import GRPCError
from modal._utils.jwt_utils import DecodedJwt
from modal_proto import api_pb2

from tests.remote.modal_stand_in_functions import Definition

if TYPE_CHECKING:
    from tests.remote.modal_stand_in import ModalStandIn
    from tests.remote.modal_stand_in_containers import Container

FAILED = (api_pb2.GenericResult.GENERIC_STATUS_FAILURE, api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT)
OUTPUTS = 50  # that are sent in one answer


@dataclass(eq=False)
class Input:
    input_id: str
    index: int
    call: "Call"
    item: api_pb2.FunctionInput
    attempt: int = 0
    container: "Container | None" = None  # that works on it
    done: bool = False


@dataclass(eq=False)
class Call:
    call_id: str
    definition: Definition
    kind: int  # an api_pb2.FunctionCallInvocationType
    inputs: dict[str, Input] = field(default_factory=dict)
    outputs: list[tuple[int, api_pb2.FunctionGetOutputsItem]] = field(default_factory=list)  # with growing numbers
    chunks: dict[int, api_pb2.DataChunk] = field(default_factory=dict)  # what a generator has yielded
    cancelled: bool = False

    @property
    def client_retries(self) -> bool:
        return self.kind == api_pb2.FUNCTION_CALL_INVOCATION_TYPE_SYNC

    @property
    def attempts(self) -> int:
        """How often its inputs were tried again, all together. (Interruptions do not count.)"""
        return sum(entry.attempt for entry in self.inputs.values())


class Calls:
    def __init__(self, server: "ModalStandIn"):
        self._server = server
        self.calls: dict[str, Call] = {}
        self.queues: dict[str, list[Input]] = {}  # function id -> inputs that wait for a container
        self._numbers = 0  # of outputs

    @property
    def definitions(self) -> dict[str, Definition]:
        """Function id -> what was deployed, or a variant of it."""
        return self._server.functions.definitions

    # From the side of those who call

    def call(self, call_id: str) -> Call:
        if call_id not in self.calls:
            raise GRPCError(Status.NOT_FOUND, f"Function call {call_id!r} not found")
        return self.calls[call_id]

    def _add(self, call: Call, item: api_pb2.FunctionPutInputsItem) -> api_pb2.FunctionPutInputsResponseItem:
        new = Input(self._server.new_id("in"), item.idx, call, item.input)
        call.inputs[new.input_id] = new
        self.enqueue(new)
        return api_pb2.FunctionPutInputsResponseItem(idx=item.idx, input_id=new.input_id, input_jwt=input_token(new))

    def enqueue(self, new: Input, first: bool = False) -> None:
        new.container = None
        queue = self.queues.setdefault(new.call.definition.function_id, [])
        queue.insert(0 if first else len(queue), new)
        self._server.containers.ensure(new.call.definition)
        self._server.notify()

    async def FunctionMap(self, request: api_pb2.FunctionMapRequest, container: Any) -> Message:
        definition = self._server.functions.definition(request.function_id)
        if self._server.objects.app(definition.app_id).state == api_pb2.APP_STATE_STOPPED:
            raise GRPCError(Status.FAILED_PRECONDITION, "The app of this function is stopped")
        call = Call(self._server.new_id("fc"), definition, request.function_call_invocation_type)
        self.calls[call.call_id] = call
        return api_pb2.FunctionMapResponse(
            function_call_id=call.call_id,
            pipelined_inputs=[self._add(call, item) for item in request.pipelined_inputs],
            retry_policy=definition.function.retry_policy,
            function_call_jwt=call_token(call),
            sync_client_retries_enabled=True,
            max_inputs_outstanding=1000,
        )

    async def FunctionPutInputs(self, request: api_pb2.FunctionPutInputsRequest, container: Any) -> Message:
        call = self.call(request.function_call_id)
        return api_pb2.FunctionPutInputsResponse(inputs=[self._add(call, item) for item in request.inputs])

    async def FunctionRetryInputs(self, request: api_pb2.FunctionRetryInputsRequest, container: Any) -> Message:
        tokens = []
        for item in request.inputs:
            payload = DecodedJwt.decode_without_verification(item.input_jwt).payload
            call = self.call(payload["call"])
            again = call.inputs[payload["input"]]
            again.attempt = item.retry_count or again.attempt + 1
            again.item.CopyFrom(item.input)
            again.done = False
            call.outputs = [output for output in call.outputs if output[1].input_id != again.input_id]
            self.enqueue(again)
            tokens.append(input_token(again))
        return api_pb2.FunctionRetryInputsResponse(input_jwts=tokens)

    async def FunctionFinishInputs(self, request: Any, container: Any) -> None: ...

    async def FunctionGetOutputs(self, request: api_pb2.FunctionGetOutputsRequest, container: Any) -> Message:
        call = self.call(request.function_call_id)
        last = int((request.last_entry_id or "0-0").split("-")[0])
        only = range(request.start_idx, request.end_idx + 1) if request.HasField("start_idx") else None

        def ready() -> list[tuple[int, api_pb2.FunctionGetOutputsItem]]:
            new = [(n, item) for n, item in call.outputs if n > last and (only is None or item.idx in only)]
            return new[: len(new) if only is not None else OUTPUTS]

        found = await self._server.wait_for(ready, request.timeout)
        if request.clear_on_success:
            call.outputs = [entry for entry in call.outputs if entry not in found]
        return api_pb2.FunctionGetOutputsResponse(
            outputs=[item for _, item in found],
            idxs=[item.idx for _, item in found],
            last_entry_id=f"{found[-1][0] if found else last}-0",
            num_unfinished_inputs=sum(not entry.done for entry in call.inputs.values()),
        )

    async def FunctionCallFromId(self, request: api_pb2.FunctionCallFromIdRequest, container: Any) -> Message:
        call = self.call(request.function_call_id)
        metadata = api_pb2.FunctionCallHandleMetadata(
            app_id=call.definition.app_id, function_id=call.definition.function_id
        )
        return api_pb2.FunctionCallFromIdResponse(
            function_call_id=call.call_id, num_inputs=len(call.inputs), metadata=metadata
        )

    async def FunctionCallCancel(self, request: api_pb2.FunctionCallCancelRequest, container: Any) -> None:
        self.cancel(self.call(request.function_call_id), request.terminate_containers)

    def cancel(self, call: Call, kill: bool = False) -> None:
        call.cancelled = True
        for entry in call.inputs.values():
            if entry.done:
                continue
            if entry.container is None:
                self.finish(entry, ended("The input was cancelled before it began."))
            else:
                self._server.containers.cancel(entry, kill)
        self._server.notify()

    async def FunctionCallGetDataOut(
        self, request: api_pb2.FunctionCallGetDataRequest, container: Any
    ) -> AsyncIterator[Message]:
        call = self.call(request.function_call_id)
        last = request.last_index
        end = time.monotonic() + 50
        while time.monotonic() < end:  # the reader goes when it has what it wants
            if await self._server.wait_for(lambda at=last: at + 1 in call.chunks, end - time.monotonic()):
                last += 1
                yield call.chunks[last]

    async def FunctionGetCurrentStats(self, request: Any, container: Any) -> Message:
        waiting = len(self.queues.get(request.function_id, []))
        tasks = [c for c in self._server.containers.all if c.alive and c.definition.function_id == request.function_id]
        running = sum(len(entry.running) for entry in tasks)
        return api_pb2.FunctionStats(backlog=waiting, num_total_tasks=len(tasks), num_running_inputs=running)

    # From the side of those who work

    async def FunctionCallPutDataOut(self, request: api_pb2.FunctionCallPutDataRequest, container: Any) -> None:
        call = self.call(request.function_call_id)
        for chunk in request.data_chunks:
            call.chunks.setdefault(chunk.index, chunk)
        self._server.notify()

    async def FunctionPutOutputs(
        self, request: api_pb2.FunctionPutOutputsRequest, container: "Container | None"
    ) -> None:
        assert container
        for item in request.outputs:
            entry = container.running.get(item.input_id)
            if entry and entry.attempt == item.retry_count:
                self.finish(entry, item.result, item.data_format)

    def finish(self, entry: Input, result: api_pb2.GenericResult, data_format: int = 0) -> None:
        """An input has come to an end; unless it has failed and is to be tried again."""
        if entry.done:
            return
        call = entry.call
        if entry.container:
            entry.container.running.pop(entry.input_id, None)
        queue = self.queues.get(call.definition.function_id, [])
        if entry in queue:
            queue.remove(entry)
        policy = call.definition.function.retry_policy
        retries = 0 if call.client_retries or call.cancelled else policy.retries
        if result.status in FAILED and entry.attempt < retries:
            delay = policy.initial_delay_ms / 1000 * (policy.backoff_coefficient or 1) ** entry.attempt
            entry.attempt += 1
            entry.container = None
            delay = min(delay, policy.max_delay_ms / 1000 or delay)
            delay = delay if self._server.retry_delay is None else self._server.retry_delay
            asyncio.get_running_loop().call_later(delay, self._again, entry)
            return
        self._numbers += 1
        item = api_pb2.FunctionGetOutputsItem(
            result=result,
            idx=entry.index,
            input_id=entry.input_id,
            data_format=data_format,  # type: ignore[arg-type]
            task_id=entry.container.task_id if entry.container else "",
            output_created_at=time.time(),
            retry_count=entry.attempt if call.client_retries else 0,
        )
        entry.done, entry.container = True, None
        call.outputs.append((self._numbers, item))
        self._server.notify()

    def _again(self, entry: Input) -> None:
        if not entry.done:
            self.enqueue(entry)


def ended(message: str) -> api_pb2.GenericResult:
    return api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_TERMINATED, exception=message)


def failed(message: str, status: int = api_pb2.GenericResult.GENERIC_STATUS_FAILURE) -> api_pb2.GenericResult:
    return api_pb2.GenericResult(status=status, exception=message)  # type: ignore[arg-type]


def input_token(entry: Input) -> str:
    return token_of({"idx": entry.index, "input": entry.input_id, "call": entry.call.call_id})


def call_token(call: Call) -> str:
    return token_of({"call": call.call_id})


def token_of(payload: dict[str, Any]) -> str:
    """A JSON web token that nobody signed."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, payload)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in [*parts, b"none"])
