"""The gate before the hosted pages, with a small app behind it."""

import asyncio
import json

import pytest

from remote.hosting.gate import LOST, Allowance, Gate

COOKIES = [
    (b"set-cookie", b"access-token-abc=t1; HttpOnly; Path=/; SameSite=none; Secure"),
    (b"set-cookie", b"access-token-unsecure-abc=t1; HttpOnly; Path=/; SameSite=lax"),
]


def answering(status=200, headers=(), body=b"fine"):
    async def app(scope, receive, send):
        app.scope = scope
        app.got = b""
        while (message := await receive())["type"] == "http.request":
            app.got += message["body"]
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return app


def ask(gate, path, method="GET", headers=(), pieces=(b"",), client="192.0.2.1"):
    """(status, headers, body) of a request."""

    async def run():
        left, sent = list(pieces), []

        async def receive():
            if not left:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message):
            sent.append(message)

        given = [(b"host", b"page.example"), *((name.encode(), value.encode()) for name, value in headers)]
        scope = {"type": "http", "method": method, "path": path, "scheme": "http", "headers": given,
                 "client": (client, 1)}  # fmt: skip
        await gate(scope, receive, send)
        start, *bodies = sent
        assert not bodies or not bodies[-1].get("more_body")
        return start["status"], start["headers"], b"".join(m.get("body", b"") for m in bodies)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd", "/gradio_api/file=http://example.org/", "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=https://x.hf.space/", "/gradio_api/component_server", "/gradio_api/upload",
        "/gradio_api/stream/a/b/1/playlist-file", "/gradio_api/deep_link", "/gradio_api/dev/reload", "/monitoring",
        "/gradio_api/custom_component/a/client/component/x", "/gradio_api/runs", "/gradio_api/call/settle_text",
        "/openapi.json", "/docs", "/login", "/logout", "/elsewhere", "/gradio_api/vibe-edit",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_named_is_not_there(path, method):
    app = answering()
    assert ask(Gate(app), path, method)[0] == 404
    assert not hasattr(app, "scope")


def test_members_have_more_and_only_below_the_studio():
    assert ask(Gate(answering()), "/studio/login", "POST")[0] == 200
    assert ask(Gate(answering()), "/studio/gradio_api/upload", "POST")[0] == 200
    assert ask(Gate(answering()), "/studio/gradio_api/file=/tmp/gradio/x/run.zip")[0] == 200
    assert ask(Gate(answering()), "/studio/gradio_api/file=http://example.org/")[0] == 404
    assert ask(Gate(answering()), "/studio/gradio_api/proxy=https://x.hf.space/")[0] == 404


def test_methods_that_no_page_uses_are_refused():
    for method in ("OPTIONS", "PUT", "DELETE", "TRACE"):
        assert ask(Gate(answering()), "/", method)[0] == 405


@pytest.mark.parametrize(
    "headers, status",
    [
        ([], 200),
        ([("origin", "http://page.example")], 200),
        ([("sec-fetch-site", "same-origin"), ("origin", "https://public.example")], 200),
        ([("origin", "https://elsewhere.example")], 403),
        ([("origin", "null")], 403),
        ([("sec-fetch-site", "cross-site")], 403),
        ([("sec-fetch-site", "same-site")], 403),
    ],
)
def test_another_site_cannot_act_for_a_visitor(headers, status):
    assert ask(Gate(answering()), "/gradio_api/queue/join", "POST", headers)[0] == status


def test_what_gradio_would_believe_is_left_out():
    app = answering()
    forged = [("x-forwarded-host", "evil"), ("x-gradio-server", "http://evil"), ("origin", "http://page.example")]
    ask(Gate(app, https=True), "/", headers=forged)
    assert app.scope["headers"] == [(b"host", b"page.example")] and app.scope["scheme"] == "https"


def test_every_answer_has_the_headers_for_safety():
    for path in ("/", "/elsewhere"):
        headers = dict(ask(Gate(answering(), https=True), path)[1])
        assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
        assert headers[b"x-content-type-options"] == b"nosniff" and headers[b"cache-control"] == b"no-store"
        assert headers[b"strict-transport-security"].startswith(b"max-age=")
    assert b"strict-transport-security" not in dict(ask(Gate(answering()), "/")[1])
    assert b"cache-control" not in dict(ask(Gate(answering()), "/assets/x.js")[1])


def test_the_cookie_of_signing_in_is_for_the_studio_and_https():
    def cookies(https):
        headers = ask(Gate(answering(headers=COOKIES), https=https), "/studio/login", "POST")[1]
        return [value.decode() for name, value in headers if name == b"set-cookie"]

    assert cookies(True) == ["access-token-abc=t1; HttpOnly; Secure; Path=/studio; SameSite=Strict"]
    assert cookies(False) == ["access-token-unsecure-abc=t1; HttpOnly; Path=/studio; SameSite=Strict"]


def test_no_other_site_is_told_that_it_may_read():
    allowed = [(b"access-control-allow-origin", b"https://evil"), (b"access-control-allow-credentials", b"true")]
    headers = dict(ask(Gate(answering(headers=allowed)), "/")[1])
    assert not any(name.startswith(b"access-control") for name in headers)


def test_what_is_too_large_is_refused_whether_it_says_so_or_not():
    gate = Gate(answering(), upload=1_000)
    said = [("content-length", "2000001")]
    assert ask(gate, "/gradio_api/queue/join", "POST", said)[0] == 413
    assert ask(gate, "/gradio_api/queue/join", "POST", [("content-length", "-1")])[0] == 413
    assert ask(gate, "/gradio_api/queue/join", "POST", pieces=[b"x" * 900_000] * 3)[0] == 413
    assert ask(gate, "/gradio_api/queue/join", "POST", pieces=[b"x" * 900_000] * 2)[0] == 200
    assert ask(gate, "/studio/gradio_api/upload", "POST", pieces=[b"x" * 60_000] * 2)[0] == 413
    assert ask(gate, "/studio/gradio_api/upload", "POST", pieces=[b"x" * 60_000])[0] == 200


def test_requests_are_limited_for_each_visitor():
    gate = Gate(answering(), requests=Allowance(3, 0.0))
    join = "/gradio_api/queue/join"
    assert [ask(gate, join, "POST", client="198.51.100.1")[0] for _ in range(4)] == [200, 200, 200, 429]
    assert ask(gate, join, "POST", client="198.51.100.2")[0] == 200
    assert ask(gate, "/assets/x.js", client="198.51.100.1")[0] == 200
    assert [ask(gate, join, "POST", client=f"2001:db8::{i}")[0] for i in range(1, 5)] == [200, 200, 200, 429]


def test_attempts_to_sign_in_are_limited():
    gate = Gate(answering(400), attempts=Allowance(2, 0.0))
    assert [ask(gate, "/studio/login", "POST")[0] for _ in range(3)] == [400, 400, 429]
    assert ask(gate, "/studio/", "GET")[0] == 400


def test_an_allowance_comes_back_and_forgets_whom_it_has_not_seen_for_long():
    allowance = Allowance(1, 1_000.0, remembered=2)
    assert allowance.take("a", 1) and asyncio.run(asyncio.sleep(0.01)) is None and allowance.take("a", 1)
    for who in "bcd":
        allowance.take(who, 1)
    assert list(allowance.left) == ["c", "d"]


def test_an_error_behind_the_gate_goes_no_further(caplog):
    async def broken(scope, receive, send):
        raise ValueError("what somebody typed")

    status, _, body = ask(Gate(broken), "/")
    assert status == 500 and b"typed" not in body
    assert "an error behind the gate" in caplog.text


def test_a_request_ends_in_time():
    async def slow(scope, receive, send):
        await asyncio.sleep(30)

    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            await send({"type": "http.response.body", "body": b"data: too late\n\n", "more_body": True})
            raise

    assert ask(Gate(slow, seconds=0.05), "/config")[0] == 503
    status, _, body = ask(Gate(endless, seconds=0.05), "/gradio_api/queue/data")
    assert status == 200 and b"too late" not in body
    *_, last = body.decode().strip().split("\n\n")
    assert json.loads(last.removeprefix("data: ")) == LOST  # which has the page load again
    assert json.dumps(LOST).encode() not in ask(Gate(endless, seconds=0.05), "/studio/gradio_api/file=/x")[2]


def test_a_page_that_is_only_open_keeps_nothing_awake():
    app = answering()
    status, headers, body = ask(Gate(app), "/gradio_api/heartbeat/abc123")
    assert status == 200 and b"ALIVE" in body and not hasattr(app, "scope")


def test_who_is_not_signed_in_any_more_is_told_in_words():
    status, _, body = ask(Gate(answering(401, body=b'{"detail": {}}')), "/studio/gradio_api/queue/join", "POST")
    assert status == 401 and "sign in" in json.loads(body)["detail"]
    assert ask(Gate(answering(401, body=b"as it is")), "/studio/config")[2] == b"as it is"


def test_web_sockets_are_closed():
    sent = []

    async def run():
        async def send(message):
            sent.append(message)

        await Gate(answering())({"type": "websocket", "path": "/"}, None, send)

    asyncio.run(run())
    assert sent == [{"type": "websocket.close", "code": 1008}]
