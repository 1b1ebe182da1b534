"""What stands before the hosted pages: which addresses there are, how much and how often, and headers for safety.

Gradio serves more than these pages need: files of the machine, addresses of the web fetched on request, uploads. What
is not named here does not exist. A request ends before Modal would end it.
"""

import asyncio
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from playground.site import visitor

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

STUDIO = "/studio"
SECONDS = 140.0  # of a request; Modal ends it after 150
MAX_BODY = 2_000_000  # bytes of what is not an upload
READ = re.compile(
    r"/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)?|/(assets|static|svelte)/.+"
    r"|/gradio_api/(queue/data|startup-events|info|app_id|heartbeat/[\w-]+)"
)
WRITE = re.compile(r"/gradio_api/(queue/join|run/predict|cancel|reset)/?")
MEMBERS_READ = re.compile(r"/logout|/gradio_api/(upload_progress|file=/.+)")
MEMBERS_WRITE = re.compile(r"/login/?|/gradio_api/upload")
COSTS = {"/": 10.0, "/config": 10.0}  # of one visitor's allowance; what is not named, and is no file of the page: 1
HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}
FORGED = (b"x-forwarded-host", b"x-forwarded-proto", b"x-gradio-server", b"origin")  # believed by Gradio, or answered
# The page's script knows this message: it tells the visitor that the connection was lost, and loads the page again.
LOST = {"msg": "unexpected_error", "message": "This took too long.", "success": False, "session_not_found": True}
SIGNED_OUT = "You are signed out: load the page again, and sign in."
logger = logging.getLogger("llm_scratch.gate")


@dataclass
class Allowance:
    """So many requests a visitor at once, and so many a second after that."""

    most: float
    per_second: float
    remembered: int = 10_000
    left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)  # visitor -> (how much, when)

    def take(self, who: str, cost: float) -> bool:
        now = time.monotonic()
        had, when = self.left.pop(who, (self.most, now))
        has = min(self.most, had + (now - when) * self.per_second)
        self.left[who] = (has - cost if has >= cost else has, now)
        while len(self.left) > self.remembered:
            self.left.popitem(last=False)
        return has >= cost


class Gate:
    """ASGI middleware. https: the pages are served by https, whatever this process sees of it."""

    def __init__(
        self, app: Any, https: bool = False, upload: int = 50_000_000, seconds: float = SECONDS,
        requests: Allowance | None = None, attempts: Allowance | None = None,
    ) -> None:  # fmt: skip
        self.app, self.https, self.upload, self.seconds = app, https, upload, seconds
        self.requests = requests or Allowance(600, 20)
        self.attempts = attempts or Allowance(10, 1 / 60)  # to sign in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)  # type: ignore[no-any-return]
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        scope = {**scope, "scheme": "https" if self.https else scope["scheme"]}
        send = self._with_headers(scope, send)
        path = _without_studio(scope["path"])
        if refused := self._refusal(scope, path):
            return await _answer(send, *refused)
        if path.startswith("/gradio_api/heartbeat/"):
            # By this stream a page only says that it is open. A container that is to go to sleep must not hear it.
            return await _answer(send, 200, "data: ALIVE\n\n", "text/event-stream")
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() not in FORGED]
        await self._pass(scope, path, receive, send)

    def _refusal(self, scope: Scope, path: str) -> tuple[int, str] | None:
        """Status and sentence, if the request is not to be let in."""
        method, studio = scope["method"], scope["path"].startswith(STUDIO + "/")
        if method not in ("GET", "HEAD", "POST"):
            return 405, "This is not how the page is used."
        known = [WRITE, *([MEMBERS_WRITE] if studio else [])] if method == "POST" else [READ]
        known += [MEMBERS_READ] if studio and method != "POST" else []
        if scope["path"] not in ("/health", STUDIO) and not any(pattern.fullmatch(path) for pattern in known):
            return 404, "There is nothing here."
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if method == "POST" and _is_foreign(headers):
            return 403, "Another site cannot use this page."
        who = visitor((scope.get("client") or [None])[0])
        is_file = path.startswith(("/assets/", "/static/", "/svelte/", "/theme", "/fav", "/mani", "/robots"))
        signs_in = studio and path.startswith("/login")
        if not (is_file or self.requests.take(who, COSTS.get(path, 1.0))) or (
            signs_in and not self.attempts.take(who, 1.0)
        ):
            return 429, "Too many requests: wait a minute, then try again."
        length = headers.get(b"content-length", "0")
        if not length.isdigit() or int(length) > self._most(path):
            return 413, "This is too large."
        return None

    def _most(self, path: str) -> int:
        return 2 * self.upload + 100_000 if path == "/gradio_api/upload" else MAX_BODY

    async def _pass(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        """Have the pages answer, within the time; nothing that they raise goes further."""
        began, over, got = False, False, 0

        async def told(message: Message) -> None:
            nonlocal began
            if over:
                return
            if message["type"] == "http.response.start" and message["status"] == 401 and "join" in path:
                return await _refuse(_answer(send, 401, json.dumps({"detail": SIGNED_OUT}), "application/json"))
            began = True
            await send(message)

        async def _refuse(answer: Awaitable[None]) -> None:
            nonlocal began, over
            began = over = True
            await answer

        async def heard() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._most(path):
                if not began:
                    await _refuse(_answer(send, 413, "This is too large."))
                return {"type": "http.disconnect"}
            return message

        task = asyncio.ensure_future(self.app(scope, heard, told))
        try:
            await asyncio.wait({task}, timeout=self.seconds)
            late, over = not task.done(), True
        finally:
            over = True
            task.cancel()
        await asyncio.wait({task}, timeout=5)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            logger.error("an error behind the gate", exc_info=error)
        if not began:
            await _answer(send, 503 if late else 500, "This took too long." if late else "That did not work.")
        elif late:
            lost = f"data: {json.dumps(LOST)}\n\n" if path.endswith("/queue/data") else ""
            await send({"type": "http.response.body", "body": lost.encode()})

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    (name, cookie)
                    for name, value in message.get("headers", [])
                    if name.lower() not in _OWN and (cookie := self._cookie(name, value))
                ]
                extra = {**HEADERS, **({"strict-transport-security": "max-age=31536000"} if self.https else {})}
                if not any(name.lower() == b"cache-control" for name, _ in headers) and not _FILES.search(
                    scope["path"]
                ):
                    extra["cache-control"] = "no-store"
                headers += [(name.encode(), value.encode()) for name, value in extra.items()]
                message = {**message, "headers": headers}
            await send(message)

        return sent

    def _cookie(self, name: bytes, value: bytes) -> bytes:
        """A cookie of signing in, as it should be: for the studio alone, never from another site, by https if there is
        https. Empty for the one of Gradio's two that is for the other case."""
        if name.lower() != b"set-cookie" or not value.startswith(b"access-token"):
            return value
        if value.startswith(b"access-token-unsecure") == self.https:
            return b""
        text = re.sub(r"(?i);\s*(path|samesite)=[^;]*", "", value.decode("latin-1"))
        return f"{text}; Path={STUDIO}; SameSite=Strict".encode("latin-1")


_FILES = re.compile(r"/(assets|static|svelte)/")  # the same for everybody
_OWN = {b"access-control-allow-credentials", b"access-control-allow-origin", b"server"}


def _is_foreign(headers: dict[bytes, str]) -> bool:
    """Whether a page of another site asks, by what the browser says of that."""
    if said := headers.get(b"sec-fetch-site"):
        return said not in ("same-origin", "none")
    origin = headers.get(b"origin")
    return bool(origin) and str(origin).partition("://")[2] != headers.get(b"host")


def _without_studio(path: str) -> str:
    return path.removeprefix(STUDIO) if path.startswith(STUDIO + "/") else path


async def _answer(send: Send, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
    body = text.encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
