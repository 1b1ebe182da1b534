"""Stands for Modal's server on this machine, so that code that uses Modal runs for real in tests, without a network.

What is real: the gRPC protocol, the `modal` library and the `modal` command line that speak it, blocks and blobs over
HTTP, and the containers: processes that run Modal's own container entrypoint, in which decorators are evaluated again,
`modal.is_local()` is False and only those files can be imported that were mounted.

What is not: images are not built (their commands are kept, and the variables that they set are set); there is no GPU,
no memory limit and no isolation from this machine; nothing is mounted. A Volume is a directory; a container finds it in
the variable LLM_SCRATCH_STORE, and variables of the image that point below the mount path point there. Readers see
what was written at once, commits are only recorded. There is one environment, "main".

What Modal does not document is a guess: the words of its errors; when a cancelled call ends (here: when its container
says so, which is ended itself after 10 seconds); what becomes of an interrupted call that returns all the same (here:
its result counts); that an input fails with its container (Modal may try again).

    with ModalStandIn(directory) as server, server.in_this_process():
        app.deploy()
        call = modal.Function.from_name("app", "double").spawn(2)
        assert call.get(timeout=30) == 4
        subprocess.run(["modal", "deploy", "app.py"], env=os.environ | server.environment())

See also modal_stand_in_objects.py (apps, images, secrets), modal_stand_in_files.py (blobs, Volumes),
modal_stand_in_dicts.py, modal_stand_in_functions.py, modal_stand_in_calls.py, modal_stand_in_containers.py and
modal_stand_in_places.py (what a container finds).
"""

import asyncio
import itertools
import os
import socket
import threading
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import isasyncgenfunction
from pathlib import Path
from typing import Any
from unittest import mock

import modal._object
import modal.client
import modal.config
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Server, Stream
from h2.exceptions import StreamClosedError
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase

from tests.remote.modal_stand_in_calls import Call, Calls, token_of
from tests.remote.modal_stand_in_containers import Container, Containers
from tests.remote.modal_stand_in_dicts import Dicts
from tests.remote.modal_stand_in_files import Files
from tests.remote.modal_stand_in_functions import Functions
from tests.remote.modal_stand_in_objects import Objects
from tests.remote.modal_stand_in_places import TASK_HEADER, Places

TOKEN = ("ak-stand-in", "as-stand-in")
RPCS = [name for name in vars(ModalClientBase) if not name.startswith("_")]


@dataclass
class Failure:
    status: Status
    message: str
    times: int | None  # how often it is still to happen; None: always


class ModalStandIn:
    """A server on a free port, in a thread of its own.

    directory: where it keeps its files (volumes/NAME is a Volume); made if missing.
    secrets: named secrets that exist, name -> variables. Change it at any time.
    retry_delay: seconds until a failed input is tried again, instead of what its function says. (Calls that are waited
    for are tried again by Modal's library, which keeps to what the function says.)
    """

    def __init__(self, directory: Path | str, secrets: dict[str, dict[str, str]] | None = None):
        self.directory = Path(directory)
        self.secrets = dict(secrets or {})
        self.retry_delay: float | None = None
        self.token = TOKEN
        self.asked: Counter[str] = Counter()  # how often each method was called
        self.last: dict[str, Message] = {}  # the last request of each method
        self.errors: list[str] = []  # tracebacks of faults of the stand-in itself; a test should find none
        self.port = 0
        self._failures: dict[str, Failure] = {}
        self._hanging: dict[str, asyncio.Event] = {}
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="modal-stand-in")
        self.files = Files(self)
        self.dicts = Dicts(self)
        self.objects = Objects(self)
        self.functions = Functions(self)
        self.calls = Calls(self)
        self.places = Places(self)
        self.containers = Containers(self)
        services = (self, self.files, self.dicts, self.objects, self.functions, self.calls, self.containers)
        self._handlers = {n: getattr(s, n) for n in RPCS for s in services if hasattr(s, n)}

    # Start and end

    def __enter__(self) -> "ModalStandIn":
        self.directory.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill all containers and close the server; clients find nobody from now on."""
        if self._thread.is_alive():
            self.run(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    async def _start(self) -> None:
        self._changed = asyncio.Event()
        bridge = type("Bridge", (ModalClientBase,), {name: self._method(name) for name in RPCS})
        self._server = Server([bridge()])
        # With the protocol said, asyncio sends small messages at once; else each answer takes 40 ms.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        await self._server.start(sock=listening)
        await self.files.start()

    async def _stop(self) -> None:
        for event in self._hanging.values():
            event.set()
        await self.containers.stop()
        await self.files.stop()
        self._server.close()
        await self._server.wait_closed()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def run(self, coroutine: Any, timeout: float = 60) -> Any:
        """Run something in the server's own loop, from a test's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    # For clients

    def environment(self) -> dict[str, str]:
        """The variables that send a client process here."""
        return {
            "MODAL_SERVER_URL": f"http://127.0.0.1:{self.port}",
            "MODAL_TOKEN_ID": self.token[0],
            "MODAL_TOKEN_SECRET": self.token[1],
            "MODAL_CONFIG_PATH": str(self.directory / "no-such-file.toml"),
            "MODAL_DISABLE_API_PROXY": "1",
            "NO_PROXY": "127.0.0.1",
        }

    @contextmanager
    def in_this_process(self) -> Iterator[None]:
        """Let this process's modal speak to this server with a new client, and forget both afterwards.

        modal keeps one client and one environment per process, has read ~/.modal.toml when it was imported, and its
        objects (a Volume in a module, say) keep the ids and the client that they were first used with.
        """
        config = mock.patch.multiple(modal.config, _user_config={}, _profile="default")
        hydrate = modal._object._Object._hydrate

        def remember(obj: Any, *rest: Any) -> None:
            _used.add(obj)
            hydrate(obj, *rest)

        with mock.patch.dict(os.environ, self.environment()), config:
            forget_client()
            try:
                with mock.patch.object(modal._object._Object, "_hydrate", remember):
                    yield
            finally:
                forget_client()

    # Switches

    def fail(self, method: str, status: Status, message: str = "", times: int | None = None) -> None:
        """Answer calls of a method ("FunctionMap") with an error, the next `times` or all. See `recover`.

        Modal's library itself repeats UNAVAILABLE, INTERNAL, UNKNOWN, CANCELLED and DEADLINE_EXCEEDED three times.
        """
        assert method in RPCS, method
        self._failures[method] = Failure(status, message or f"{method} fails", times)

    def hang(self, method: str) -> None:
        """Never answer calls of a method, until `recover`."""
        assert method in RPCS, method
        self._hanging[method] = asyncio.Event()

    def recover(self) -> None:
        """End all failing, hanging and breaking; calls that wait are answered."""
        self._failures.clear()
        self.files.break_after(0, 0)
        for event in self._hanging.values():
            self._loop.call_soon_threadsafe(event.set)
        self._hanging = {}

    def break_download_after(self, count: int, times: int | None = 1) -> None:
        """Break the connection when `count` more bytes of Volumes were sent, and the next `times` - 1 at once.

        times: None: all, until `recover`. Modal's library itself asks for a broken block (8 MiB) up to 5 times, so that
        only then the reader sees an error.
        """
        self.files.break_after(count, times)

    # What tests look at and do

    def volume(self, name: str) -> Path:
        """The directory of a Volume; made if there is none."""
        return self.files.named(name).directory

    @property
    def commits(self) -> list[str]:
        """The names of the Volumes that were committed, in order."""
        return self.files.commits

    @property
    def reloads(self) -> list[str]:
        return self.files.reloads

    @property
    def logs(self) -> str:
        """What all containers have written, in order."""
        return "".join(text for container in self.containers.all for text in container.output)

    def function(self, app: str, name: str) -> api_pb2.Function:
        """The definition of a deployed function, or of a class ("Model.*"): gpu, volumes, timeout_secs, secret_ids."""
        return self.functions.definitions[self.objects.deployed(app).function_ids[name]].function

    def call(self, call_id: str) -> Call:
        """A function call: its definition with the options of `with_options`, its inputs."""
        return self.calls.calls[call_id]

    def wait_until(self, ready: Callable[[], Any], timeout: float = 30) -> Any:
        """Wait until `ready` is true, which is asked whenever the server is spoken to. TimeoutError, with the logs."""
        if value := self.run(self.wait_for(ready, timeout), timeout + 5):
            return value
        raise TimeoutError(f"in vain; containers wrote: {self.logs[-2000:]}")

    def wait_running(self, call_id: str, timeout: float = 30) -> Container:
        """Wait until a container has taken the call's first input."""
        return self.run(self.containers.wait_running(self.call(call_id), timeout), timeout + 5)

    def preempt(self, call_id: str, grace: float = 5) -> None:
        """Take the machine away from a running call: SIGINT, SIGKILL after `grace` seconds, a new container with the
        same input. Returns when the old container has ended."""
        container = self.wait_running(call_id)
        self.run(self.containers.interrupt(container, grace), grace + 10)

    def scale_down(self, timeout: float = 20) -> None:
        """Let all containers finish what they do, run their exit methods and end."""
        self.run(self.containers.scale_down(timeout), timeout + 5)

    # For the services

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers):04d}"

    def notify(self) -> None:
        """Wake all who wait for something to change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for(self, ready: Callable[[], Any], timeout: float) -> Any:
        """What `ready` returns, as soon as it is true or after `timeout` seconds."""
        end = self._loop.time() + timeout
        while not (value := ready()):
            if self._loop.time() >= end:
                break
            try:
                async with asyncio.timeout_at(end):
                    await self._changed.wait()
            except TimeoutError:
                pass
        return value

    # Methods of the protocol

    def _method(self, name: str) -> Callable:
        async def method(_: Any, stream: Stream) -> None:
            request = await stream.recv_message()
            self.asked[name] += 1
            self.last[name] = request
            self.notify()
            try:
                await self._answer(name, request, stream)
            except GRPCError:
                raise
            except (StreamTerminatedError, StreamClosedError):
                pass  # who asked has not waited for the answer
            except Exception:
                self.errors.append(traceback.format_exc())
                raise GRPCError(Status.DATA_LOSS, f"a fault of the stand-in: {self.errors[-1]}") from None

        return method

    async def _answer(self, name: str, request: Any, stream: Stream) -> None:
        container = self._caller(stream)
        if name in self._hanging:
            await self._hanging[name].wait()
        if failure := self._failures.get(name):
            if failure.times is not None:
                failure.times -= 1
                if failure.times <= 0:
                    del self._failures[name]
            raise GRPCError(failure.status, failure.message)
        handler = self._handlers.get(name)
        if handler is None:
            raise GRPCError(Status.UNIMPLEMENTED, f"The stand-in for Modal has no {name}.")
        if isasyncgenfunction(handler):
            async for message in handler(request, container):
                await stream.send_message(message)
        else:
            await stream.send_message(await handler(request, container) or Empty())

    def _caller(self, stream: Stream) -> Container | None:
        """The container that calls; None for any other client, whose token is checked."""
        metadata = stream.metadata or {}
        if metadata.get("x-modal-client-type") == str(api_pb2.CLIENT_TYPE_CONTAINER):
            return self.containers.tasks.get(str(metadata.get(TASK_HEADER)))
        if (metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret")) != self.token:
            raise GRPCError(Status.UNAUTHENTICATED, "Token validation failed.")
        return None

    async def ClientHello(self, request: Empty, container: Container | None) -> Message:
        return api_pb2.ClientHelloResponse()

    async def AuthTokenGet(self, request: Message, container: Container | None) -> Message:
        return api_pb2.AuthTokenGetResponse(token=token_of({"exp": time.time() + 3600}))

    async def WorkspaceNameLookup(self, request: Empty, container: Container | None) -> Message:
        return api_pb2.WorkspaceNameLookupResponse(workspace_name="stand-in", username="stand-in")


_used: weakref.WeakSet[Any] = weakref.WeakSet()  # objects of modal that have an id of a server and a client


def forget_client() -> None:
    """Close this process's Modal client, and forget what it and all objects have learnt of their server."""
    from modal._environments import ENVIRONMENT_CACHE
    from modal._utils.async_utils import synchronizer

    client = modal.client._Client._client_from_env
    if client is not None:
        synchronizer._translate_out(client).close()
    modal.client._Client._set_env_client(None)
    ENVIRONMENT_CACHE.clear()
    for obj in list(_used):
        obj._unhydrate()
    _used.clear()
