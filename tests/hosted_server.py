"""The hosted app in a process of its own, as a container serves it, and calls of its endpoints as anybody can make."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from remote.hosting.gate import COSTS, STUDIO, Allowance

ROOT = Path(__file__).parent.parent
USERS = {"ada": "a long password", "ben": "another: one"}


@dataclass
class Server:
    address: str
    runs: Path
    log: Path

    def output(self) -> str:
        """All that the process has written to stdout and stderr."""
        return self.log.read_text(encoding="utf-8", errors="replace")


FUNCTION = (  # the function of the app, as a container would call it
    "import sys, uvicorn, remote.web; app = remote.web.web.local(); "
    "uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False)"
)


@contextmanager
def hosted(folder: Path, users: dict[str, str] | None = None, function: bool = False) -> Iterator[Server]:
    """Served with the runs of `folder`/runs, until the block ends. function: by the function of the app, to which
    `folder` is the Volume; else by `python -m remote.hosting.hosted`."""
    runs, log = folder / "runs", folder / "server.log"
    runs.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        name: value for name, value in os.environ.items()
        if name != "LLM_SCRATCH_USERS" and not name.startswith("MODAL_")
    }  # fmt: skip
    environment["MODAL_CONFIG_PATH"] = str(folder / "no account")
    environment |= {"PORT": str(port), "RUNS_DIR": str(runs), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    if users:
        environment["LLM_SCRATCH_USERS"] = "\n".join(f"{name}:{password}" for name, password in users.items())
    command = ["-m", "remote.hosting.hosted"]
    if function:
        environment |= {"LLM_SCRATCH_STORE": str(folder), "TMPDIR": str(folder / "disk")}
        (folder / "disk").mkdir()
        command, runs = ["-c", FUNCTION, str(port)], folder / "disk" / "llm-scratch-web" / "runs"
    with open(log, "wb") as file:
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=file, stderr=file)
    server = Server(f"http://127.0.0.1:{port}", runs, log)
    began = time.monotonic()
    try:
        while True:
            try:
                httpx.get(f"{server.address}/health", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, server.output()
                assert time.monotonic() - began < 120, "the server did not come up"
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(20)


ALLOWED = Allowance(450, 19)  # a bit less than what the server allows to one visitor, as all who call here are


def be_patient(request: httpx.Request) -> None:
    """Wait, if the server were to refuse this request for having had too many."""
    while not ALLOWED.take("", COSTS.get(request.url.path.removeprefix(STUDIO), 1.0)):
        time.sleep(0.1)


class Caller:
    """Somebody who calls the endpoints of a page without the page."""

    def __init__(self, address: str, user: tuple[str, str] | None = None) -> None:
        self.client = httpx.Client(base_url=address, timeout=60, event_hooks={"request": [be_patient]})
        if user:
            answer = self.client.post("/login", data={"username": user[0], "password": user[1]})
            assert answer.status_code == 200, answer.text
        self.session = secrets.token_hex(8)
        self.said = ""  # all messages of the last call, as JSON
        self.config = self.client.get("/config").json()
        self.endpoints = {dep["api_name"]: dep for dep in self.config["dependencies"]}

    def default(self, name: str) -> list[Any]:
        """The values that the page would send for an endpoint before anybody has touched it."""
        values = {component["id"]: component["props"].get("value") for component in self.config["components"]}
        return [values[number] for number in self.endpoints[name]["inputs"]]

    def place(self, name: str, label: str) -> int:
        """Which of an endpoint's values is that of the component with this label."""
        labels = {component["id"]: component["props"].get("label") for component in self.config["components"]}
        return [labels[number] for number in self.endpoints[name]["inputs"]].index(label)

    def call(self, name: str, data: Any, **more: Any) -> Any:
        """The last message of the call, as a dictionary; the response if it was refused at once."""
        return self.call_number(self.endpoints[name]["id"], data, **more)

    def call_number(self, number: Any, data: Any, **more: Any) -> Any:
        body = {"fn_index": number, "data": data, "session_hash": self.session, "event_data": None, **more}
        content = json.dumps(body)  # plain ASCII, so that it can hold halves of surrogate pairs, as a browser's can
        headers = {"content-type": "application/json"}
        answer = self.client.post("/gradio_api/queue/join", content=content, headers=headers)
        if answer.status_code != 200:
            return answer
        last: dict[str, Any] = {}
        self.said = ""
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    self.said += line[5:]
                    message = json.loads(line[5:])
                    if message["msg"] in ("process_completed", "unexpected_error"):
                        last = message
        return last
