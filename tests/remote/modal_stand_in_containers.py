"""Containers of the stand-in for Modal's server: processes that run Modal's own container entrypoint."""

import asyncio
import os
import signal
import sys
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from modal_proto import api_pb2

from tests.forked import writers
from tests.remote.modal_stand_in_calls import Call, Input, ended, failed
from tests.remote.modal_stand_in_functions import Definition

if TYPE_CHECKING:
    from tests.remote.modal_stand_in import ModalStandIn

IDLE = 60.0  # seconds until a container ends that has nothing to do, unless its function says how long
CANCEL_GRACE = 10.0  # seconds in which a cancelled input must have ended, or its container is ended
HEARTBEAT = 14.0  # seconds that a container's heartbeat is held, if there is no news


@dataclass(eq=False)
class Container:
    task_id: str
    definition: Definition
    running: dict[str, Input] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)  # what it has written
    pid: int = 0
    writes_to: str = ""  # the pipe that it and its children write to
    alive: bool = True
    stopping: bool = False  # takes no more inputs
    interrupted: bool = False  # what runs in it begins again elsewhere
    served: int = 0  # inputs it was given
    result: api_pb2.GenericResult | None = None  # why it could not begin

    @property
    def to_cancel(self) -> list[str]:
        """Ids of its inputs that it is to be told to cancel; again and again, as it may not know of them yet."""
        return [entry.input_id for entry in self.running.values() if entry.call.cancelled]

    def kill(self, signal_number: int) -> None:
        """Send a signal to it; SIGKILL also to its children, in whatever session they are."""
        pids = [self.pid] if self.pid and self.alive else []
        if self.pid and signal_number == signal.SIGKILL:
            pids += [pid for pid in writers(self.writes_to) if pid != os.getpid()]
        for pid in pids:
            try:
                os.kill(pid, signal_number)
            except ProcessLookupError:
                pass


class Containers:
    def __init__(self, server: "ModalStandIn"):
        self._server = server
        self.tasks: dict[str, Container] = {}
        self.default_limit = 2  # containers of one function, if it sets no limit itself
        self.environment: dict[str, str] = {}  # more variables for those that start from now on
        self._background: set[asyncio.Task] = set()
        self._closed = False

    @property
    def all(self) -> list[Container]:
        return list(self.tasks.values())

    def of_app(self, app_id: str) -> list[Container]:
        return [c for c in self.all if c.alive and c.definition.app_id == app_id]

    def _of(self, definition: Definition) -> list[Container]:
        same = [c for c in self.all if c.definition.function_id == definition.function_id]
        return [c for c in same if c.alive and not c.stopping]

    # Begin and end

    def ensure(self, definition: Definition) -> None:
        """Start as many containers as the waiting inputs of a function need."""
        if self._closed:
            return
        live = self._of(definition)
        waiting = len(self._server.calls.queues.get(definition.function_id, []))
        work = waiting + sum(len(container.running) for container in live)
        wanted = min(-(-work // definition.capacity), definition.max_containers or self.default_limit)
        for _ in range(wanted - len(live)):
            container = Container(self._server.new_id("ta"), definition)
            self.tasks[container.task_id] = container
            self._in_background(self._live(container))

    def _in_background(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _live(self, container: Container) -> None:
        """A container from its beginning to its end."""
        try:
            code = await self._run(container)
        except Exception:
            self._server.errors.append(traceback.format_exc())
            container.result, code = failed("The stand-in could not start a container."), 1
        container.alive = False
        self._ended(container, code)
        self._server.notify()

    async def _run(self, container: Container) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modal._container_entrypoint"),
            env=self._server.places.environment(container.task_id, container.definition),
            cwd=self._server.places.directory(container.task_id),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout
        reading = process._transport.get_pipe_transport(1).get_extra_info("pipe")  # type: ignore[attr-defined]
        container.writes_to = f"pipe:[{os.fstat(reading.fileno()).st_ino}]"
        container.pid = process.pid
        while line := await read_line(process.stdout):
            text = line.decode(errors="replace")
            container.output.append(text)
            definition = container.definition
            self._server.objects.log(definition.app_id, text, container.task_id, definition.function_id)
        code = await process.wait()
        container.kill(signal.SIGKILL)  # children that it has left behind
        return code

    def _ended(self, container: Container, code: int) -> None:
        calls, definition = self._server.calls, container.definition
        reason = container.result or failed(f"The container has ended with exit code {code}.")
        running, container.running = list(container.running.values()), {}
        for entry in running:
            if entry.call.cancelled:
                calls.finish(entry, ended("The input was cancelled."))
            elif container.interrupted:
                calls.enqueue(entry, first=True)
            else:
                calls.finish(entry, reason)
        # One that could not even begin would begin for ever.
        if container.result or (not container.served and not container.stopping and not container.interrupted):
            for entry in list(calls.queues.get(definition.function_id, [])):
                calls.finish(entry, reason)
        self.ensure(definition)

    async def interrupt(self, container: Container, grace: float) -> None:
        """End a container as Modal does that takes its machine away; its inputs begin again in another."""
        container.interrupted = container.stopping = True
        await self._end(container, grace)

    async def _end(self, container: Container, grace: float) -> None:
        container.stopping = True
        self._server.notify()
        await self._server.wait_for(lambda: container.pid or not container.alive, 5)
        container.kill(signal.SIGINT)
        if not await self._server.wait_for(lambda: not container.alive, grace):
            container.kill(signal.SIGKILL)
            await self._server.wait_for(lambda: not container.alive, 5)

    def cancel(self, entry: Input, kill: bool) -> None:
        """Have a cancelled input's container stop it: by its next heartbeat, or else by its end."""
        assert entry.container
        self._in_background(self._cancel(entry, entry.container, 0 if kill else CANCEL_GRACE))

    async def _cancel(self, entry: Input, container: Container, grace: float) -> None:
        if not await self._server.wait_for(lambda: entry.done, grace):
            await self.interrupt(container, 2)

    def retire(self, app_id: str) -> None:
        """Containers of an app take no more inputs, and end when they are done."""
        for container in self.of_app(app_id):
            container.stopping = True
        self._server.notify()

    def stop_app(self, app_id: str) -> None:
        for call in self._server.calls.calls.values():
            if call.definition.app_id == app_id:
                self._server.calls.cancel(call)
        self.retire(app_id)
        for container in self.of_app(app_id):
            self._in_background(self._end_soon(container))

    async def _end_soon(self, container: Container) -> None:
        """Time for exit methods, first."""
        if not await self._server.wait_for(lambda: not container.alive, 3):
            await self._end(container, 2)

    async def scale_down(self, timeout: float) -> None:
        for container in self.all:
            container.stopping = True
        self._server.notify()
        if not await self._server.wait_for(lambda: not any(c.alive for c in self.all), timeout):
            raise TimeoutError("a container did not end")

    async def stop(self) -> None:
        """Kill all containers."""
        self._closed = True
        while live := [container for container in self.all if container.alive]:
            for container in live:
                container.stopping = True
                container.kill(signal.SIGKILL)
            await asyncio.sleep(0.01)

    async def wait_running(self, call: Call, timeout: float) -> Container:
        def taken() -> Container | None:
            return next((entry.container for entry in call.inputs.values() if entry.container), None)

        if container := await self._server.wait_for(taken, timeout):
            return container
        done = all(entry.done for entry in call.inputs.values())
        state = "it has ended" if done else f"it waits; containers wrote: {self._server.logs[-2000:]}"
        raise TimeoutError(f"{call.call_id} does not run: {state}")

    # Methods of the protocol

    async def ContainerHello(self, request: Any, container: Any) -> None: ...

    async def ContainerHeartbeat(self, request: Any, container: Container) -> Message:
        await self._server.wait_for(lambda: container.to_cancel, HEARTBEAT)
        if not container.to_cancel:
            return api_pb2.ContainerHeartbeatResponse()
        event = api_pb2.CancelInputEvent(input_ids=container.to_cancel)
        return api_pb2.ContainerHeartbeatResponse(cancel_input_event=event)

    async def ContainerStop(self, request: api_pb2.ContainerStopRequest, container: Container | None) -> None:
        target = self.tasks[request.task_id]
        target.stopping = True
        self._server.notify()
        if not request.graceful and target is not container:
            self._in_background(self._end_soon(target))

    async def TaskList(self, request: api_pb2.TaskListRequest, container: Any) -> Message:
        live = self.of_app(request.app_id) if request.app_id else [c for c in self.all if c.alive]
        return api_pb2.TaskListResponse(
            tasks=[api_pb2.TaskStats(task_id=c.task_id, app_id=c.definition.app_id) for c in live]
        )

    async def TaskResult(self, request: api_pb2.TaskResultRequest, container: Container) -> None:
        container.result = request.result

    async def FunctionGetDynamicConcurrency(self, request: Any, container: Any) -> Message:
        return api_pb2.FunctionGetDynamicConcurrencyResponse(concurrency=request.max_concurrency)

    async def FunctionGetInputs(self, request: api_pb2.FunctionGetInputsRequest, container: Container) -> Message:
        definition = container.definition
        queue = self._server.calls.queues.setdefault(definition.function_id, [])
        idle = definition.function.task_idle_timeout_secs or IDLE
        if not await self._server.wait_for(lambda: queue or container.stopping, idle):
            container.stopping = not container.running
        if container.stopping:
            return api_pb2.FunctionGetInputsResponse(inputs=[api_pb2.FunctionGetInputsItem(kill_switch=True)])
        if request.batch_max_size:
            await self._server.wait_for(lambda: len(queue) >= request.batch_max_size, request.batch_linger_ms / 1000)
        taken, queue[:] = queue[: request.batch_max_size or 1], queue[request.batch_max_size or 1 :]
        for entry in taken:
            entry.container = container
            container.running[entry.input_id] = entry
            container.served += 1
            limit = definition.function.timeout_secs
            if limit:
                asyncio.get_running_loop().call_later(limit, self._time_out, entry, entry.attempt, container)
        self._server.notify()
        return api_pb2.FunctionGetInputsResponse(inputs=[to_container(entry) for entry in taken])

    def _time_out(self, entry: Input, attempt: int, container: Container) -> None:
        if entry.done or entry.attempt != attempt or entry.container is not container:
            return
        limit = container.definition.function.timeout_secs
        message = f"Task's current input in {entry.input_id} hit its timeout of {limit}s"
        self._server.calls.finish(entry, failed(message, api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT))
        self._in_background(self.interrupt(container, 1))


def to_container(entry: Input) -> api_pb2.FunctionGetInputsItem:
    return api_pb2.FunctionGetInputsItem(
        input_id=entry.input_id,
        input=entry.item,
        function_call_id=entry.call.call_id,
        function_call_invocation_type=entry.call.kind,  # type: ignore[arg-type]
        retry_count=entry.attempt,
        function_map_idx=entry.index,
    )


async def read_line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or the part of it that fits: a line may be longer than asyncio's buffer."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.read(error.consumed)
