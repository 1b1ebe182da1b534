"""A server on this machine that answers downloads as the Hugging Face hub does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import core.hub

COMMIT = "c" * 40
REVISIONS = "/api/models/org/name/revision/"


class FakeHub(BaseHTTPRequestHandler):
    """The questions that a download asks: what is in the repository, each file's head, and the file."""

    directory: Path
    asked: list[str]
    wait: threading.Event | None = None  # a large file comes in two halves, the second when this is set
    large = 100_000  # bytes
    token = ""  # what a reader must show, if anything
    model_type = "gpt2"

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for key, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "GET":
            half = len(body) // 2 if self.wait and len(body) > self.large else 0
            self.wfile.write(body[:half])
            if half:
                self.wait.wait(20)
            self.wfile.write(body[half:])

    def do_GET(self):
        path = self.path.split("?")[0]
        self.asked.append(path)
        files = {p.name: p.stat().st_size for p in sorted(self.directory.iterdir())}
        known = ("main", "v1", COMMIT)
        if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
            self.answer(b"", 401, X_Error_Code="GatedRepo")
        elif path == "/api/models/org/name" or path.removeprefix(REVISIONS) in known:
            siblings = [{"rfilename": name, "size": size} for name, size in files.items()]
            info = {"id": "org/name", "sha": COMMIT, "siblings": siblings, "config": {"model_type": self.model_type}}
            self.answer(json.dumps(info).encode(), Content_Type="application/json")
        elif path.startswith("/org/name/resolve/") and path.split("/")[4] in known and path.split("/")[5] in files:
            body = (self.directory / path.split("/")[5]).read_bytes()
            self.answer(body, X_Repo_Commit=COMMIT, ETag=f'"{sha1(body).hexdigest()}"')
        elif "/revision/" in path:
            self.answer(b"", 404, X_Error_Code="RevisionNotFound")
        else:
            self.answer(b"", 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def log_message(self, format, *args):
        pass


def point(monkeypatch, address: str, cache: Path) -> None:
    """huggingface_hub asks this address, keeps what it gets in `cache`, and has forgotten what it knew."""
    import huggingface_hub

    for module in (huggingface_hub.constants, huggingface_hub.hf_api, huggingface_hub.file_download):
        if hasattr(module, "ENDPOINT"):
            monkeypatch.setattr(module, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(core.hub, "_found", {})
    monkeypatch.setattr(core.hub, "_failed", {})


@contextmanager
def serving(monkeypatch, repository: Path, cache: Path) -> Iterator[type[FakeHub]]:
    """Serves the directory as org/name of the hub; gives the handler's class."""
    handler = type("Handler", (FakeHub,), {"directory": repository, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    point(monkeypatch, f"http://127.0.0.1:{server.server_port}", cache)
    yield handler
    if handler.wait:
        handler.wait.set()
    server.shutdown()
    server.server_close()
