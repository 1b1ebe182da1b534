"""Functions, classes and their calls in the stand-in for Modal's server.

A call has inputs (one, or many for `map`). An input waits in the queue of its function until a container takes it, and
ends with an output; a failed one is tried again as the function's retry policy says: here for calls that were spawned,
by Modal's library for those that somebody waits for.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from grpclib import Status
from grpclib.exceptions import GRPCError
from modal._utils.jwt_utils import DecodedJwt
from modal_proto import api_pb2

if TYPE_CHECKING:
    from tests.remote.modal_stand_in import ModalStandIn
    from tests.remote.modal_stand_in_containers import Container
    from tests.remote.modal_stand_in_objects import App

FAILED = (api_pb2.GenericResult.GENERIC_STATUS_FAILURE, api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT)
OUTPUTS = 50  # that are sent in one answer
WEB = "https://stand-in--{app}-{function}.modal.run"


@dataclass(eq=False)
class Definition:
    """A function as it was deployed, or a variant of one: with parameters, or with other options."""

    function_id: str
    app_id: str
    function: api_pb2.Function
    gpus: list[str]  # such as ["L4:1"]; several if any of them will do
    definition_id: str
    base_id: str = ""  # of the function that this is a variant of
    parameters: bytes = b""

    @property
    def max_containers(self) -> int:
        """0: no limit."""
        return self.function.concurrency_limit or self.function.autoscaler_settings.max_containers

    @property
    def capacity(self) -> int:
        """Inputs that one container takes at a time."""
        return self.function.batch_max_size or self.function.max_concurrent_inputs or 1


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
        self.definitions: dict[str, Definition] = {}
        self.calls: dict[str, Call] = {}
        self.queues: dict[str, list[Input]] = {}  # function id -> inputs that wait for a container
        self._variants: dict[bytes, str] = {}
        self._numbers = 0  # of outputs

    # Definitions

    def definition(self, function_id: str) -> Definition:
        if function_id not in self.definitions:
            raise GRPCError(Status.NOT_FOUND, f"Function {function_id!r} not found")
        return self.definitions[function_id]

    def handle(self, definition: Definition) -> api_pb2.FunctionHandleMetadata:
        """What a client is told of a function."""
        function = definition.function
        metadata = api_pb2.FunctionHandleMetadata(
            function_name=function.function_name,
            function_type=function.function_type,
            web_url=function.web_url,
            is_method=function.is_method,
            definition_id=definition.definition_id,
            class_parameter_info=function.class_parameter_info,
            function_schema=function.function_schema,
            supported_input_formats=function.supported_input_formats,
            supported_output_formats=function.supported_output_formats,
            app_id=definition.app_id,
            base_function_id=definition.base_id,
        )
        for name, method in function.method_definitions.items():
            metadata.method_handle_metadata[name].CopyFrom(
                api_pb2.FunctionHandleMetadata(
                    function_name=method.function_name,
                    is_method=True,
                    use_method_name=name,
                    function_type=method.function_type,
                    web_url=method.web_url,
                    function_schema=method.function_schema,
                    supported_input_formats=method.supported_input_formats,
                    supported_output_formats=method.supported_output_formats,
                    app_id=definition.app_id,
                )
            )
        return metadata

    def layout(self, app: "App") -> api_pb2.AppLayout:
        """All objects of an app, as a container is told of them."""
        layout = api_pb2.AppLayout(function_ids=app.function_ids, class_ids=app.class_ids)
        others: dict[str, None] = {}
        for function_id in app.function_ids.values():
            definition = self.definitions[function_id]
            layout.objects.add(object_id=function_id, function_handle_metadata=self.handle(definition))
            others |= dict.fromkeys(dep.object_id for dep in definition.function.object_dependencies)
        for class_id in app.class_ids.values():
            layout.objects.add(object_id=class_id, class_handle_metadata=api_pb2.ClassHandleMetadata())
        for object_id in others:
            volume = self._server.files.volumes.get(object_id)
            layout.objects.add(object_id=object_id, volume_metadata=volume.metadata if volume else None)
        return layout

    async def FunctionPrecreate(self, request: api_pb2.FunctionPrecreateRequest, container: Any) -> Message:
        function = api_pb2.Function(
            function_name=request.function_name,
            function_type=request.function_type,
            method_definitions=request.method_definitions,
            function_schema=request.function_schema,
            supported_input_formats=request.supported_input_formats,
            supported_output_formats=request.supported_output_formats,
        )
        function_id = request.existing_function_id or self._server.new_id("fu")
        draft = Definition(function_id, request.app_id, function, [], "")
        return api_pb2.FunctionPrecreateResponse(function_id=function_id, handle_metadata=self.handle(draft))

    async def FunctionCreate(self, request: api_pb2.FunctionCreateRequest, container: Any) -> Message:
        ranked = [entry.function for entry in request.function_data.ranked_functions] or [request.function]
        function = ranked[0]
        app = self._server.objects.app(request.app_id)
        names = {"app": app.description, "function": function.function_name.removesuffix(".*").replace("_", "-")}
        if function.webhook_config.type:
            function.web_url = WEB.format(**names).lower()
        for name, method in function.method_definitions.items():
            if method.webhook_config.type:
                method.web_url = WEB.format(**names | {"function": f"{names['function']}-{name}"}).lower()
        function_id = request.existing_function_id or self._server.new_id("fu")
        gpus = [f"{f.resources.gpu_config.gpu_type}:{f.resources.gpu_config.count}" for f in ranked]
        definition_id = self._server.new_id("de")
        definition = Definition(function_id, app.app_id, function, [gpu for gpu in gpus if gpu != ":0"], definition_id)
        self.definitions[function_id] = definition
        # Variants are those of the last deployment.
        old = {key for key, variant in self._variants.items() if self.definitions[variant].base_id == function_id}
        self._variants = {key: variant for key, variant in self._variants.items() if key not in old}
        return api_pb2.FunctionCreateResponse(
            function_id=function_id,
            function=function,
            handle_metadata=self.handle(definition),
            function_data=self._data(definition),
        )

    def _data(self, definition: Definition) -> api_pb2.FunctionData:
        ranked = api_pb2.FunctionData.RankedFunction(function=definition.function)
        return api_pb2.FunctionData(
            function_name=definition.function.function_name,
            web_url=definition.function.web_url,
            is_class=definition.function.is_class,
            ranked_functions=[ranked],
        )

    async def FunctionGet(self, request: api_pb2.FunctionGetRequest, container: Any) -> Message:
        app = self._server.objects.deployed(request.app_name)
        if request.object_tag not in app.function_ids:
            raise GRPCError(Status.NOT_FOUND, f"Function '{request.object_tag}' not found in app '{app.name}'")
        definition = self.definitions[app.function_ids[request.object_tag]]
        return api_pb2.FunctionGetResponse(
            function_id=definition.function_id,
            handle_metadata=self.handle(definition),
            function=self._data(definition),
        )

    async def FunctionGetById(self, request: api_pb2.FunctionGetByIdRequest, container: Any) -> Message:
        definition = self.definition(request.function_id)
        return api_pb2.FunctionGetByIdResponse(function=self._data(definition), handle_metadata=self.handle(definition))

    async def ClassCreate(self, request: api_pb2.ClassCreateRequest, container: Any) -> Message:
        class_id = request.existing_class_id or self._server.new_id("cs")
        return api_pb2.ClassCreateResponse(class_id=class_id, handle_metadata=api_pb2.ClassHandleMetadata())

    async def ClassGet(self, request: api_pb2.ClassGetRequest, container: Any) -> Message:
        app = self._server.objects.deployed(request.app_name)
        if request.object_tag not in app.class_ids:
            raise GRPCError(Status.NOT_FOUND, f"Class '{request.object_tag}' not found in app '{app.name}'")
        class_id = app.class_ids[request.object_tag]
        return api_pb2.ClassGetResponse(class_id=class_id, handle_metadata=api_pb2.ClassHandleMetadata())

    async def FunctionBindParams(self, request: api_pb2.FunctionBindParamsRequest, container: Any) -> Message:
        key = request.SerializeToString(deterministic=True)
        if key not in self._variants:
            base = self.definition(request.function_id)
            function = api_pb2.Function()
            function.CopyFrom(base.function)
            gpus = with_options(function, request.function_options) or base.gpus
            bound = Definition(
                self._server.new_id("fu"),
                base.app_id,
                function,
                gpus,
                base.definition_id,
                base_id=base.base_id or base.function_id,
                parameters=request.serialized_params or base.parameters,
            )
            self.definitions[bound.function_id] = bound
            self._variants[key] = bound.function_id
        bound = self.definitions[self._variants[key]]
        return api_pb2.FunctionBindParamsResponse(
            bound_function_id=bound.function_id, handle_metadata=self.handle(bound)
        )

    async def FunctionGetCurrentStats(self, request: Any, container: Any) -> Message:
        waiting = len(self.queues.get(request.function_id, []))
        tasks = [c for c in self._server.containers.all if c.alive and c.definition.function_id == request.function_id]
        running = sum(len(entry.running) for entry in tasks)
        return api_pb2.FunctionStats(backlog=waiting, num_total_tasks=len(tasks), num_running_inputs=running)

    # Calls, from the side of those who call

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
        definition = self.definition(request.function_id)
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

    # Calls, from the side of those who work

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


def with_options(function: api_pb2.Function, options: api_pb2.FunctionOptions) -> list[str]:
    """Put what `with_options`, `with_concurrency` and `with_batching` say into a definition. Its GPU, if they say one.

    object_dependencies stays: that is what the code in the container is compared with.
    """
    for name in (
        "concurrency_limit",
        "timeout_secs",
        "task_idle_timeout_secs",
        "warm_pool_size",
        "max_concurrent_inputs",
        "target_concurrent_inputs",
        "batch_max_size",
        "batch_linger_ms",
        "cloud_provider_str",
    ):
        if options.HasField(name):  # type: ignore[arg-type]
            setattr(function, name, getattr(options, name))
    if options.HasField("retry_policy"):
        function.retry_policy.CopyFrom(options.retry_policy)
    if options.replace_volume_mounts or options.volume_mounts:
        del function.volume_mounts[:]
        function.volume_mounts.extend(options.volume_mounts)
    if options.replace_secret_ids or options.secret_ids:
        del function.secret_ids[:]
        function.secret_ids.extend(options.secret_ids)
    if not options.HasField("resources"):
        return []
    function.resources.MergeFrom(options.resources)
    gpu = options.resources.gpu_config
    return [f"{gpu.gpu_type}:{gpu.count}"] if gpu.count else []


def ended(message: str) -> api_pb2.GenericResult:
    return api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_TERMINATED, exception=message)


def failed(message: str, status: int = api_pb2.GenericResult.GENERIC_STATUS_FAILURE) -> api_pb2.GenericResult:
    return api_pb2.GenericResult(status=status, exception=message)  # type: ignore[arg-type]


def input_token(entry: Input) -> str:
    from tests.remote.modal_stand_in import token_of

    return token_of({"idx": entry.index, "input": entry.input_id, "call": entry.call.call_id})


def call_token(call: Call) -> str:
    from tests.remote.modal_stand_in import token_of

    return token_of({"call": call.call_id})
