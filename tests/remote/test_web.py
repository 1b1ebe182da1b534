"""The hosted app as a container serves it, asked by people who do not use the page, and some who mean no good."""

import http.client
import json
import shutil
import time
from urllib.parse import urlsplit

import gradio  # noqa: F401  the server is forked from this process
import httpx
import pytest

from core.run import BUNDLED
from remote.hosting.hosted import SignIn, hosted_app, read_users
from tests.hosted_server import USERS, Caller, hosted

MARK = "WhatSomebodyTyped"
FILE = {"path": "/etc/passwd", "orig_name": "passwd", "meta": {"_type": "gradio.FileData"}}
RECIPE = "A recipe or settings, as JSON: what “Save as JSON” below a column gives"
ADDRESS = {"path": "http://127.0.0.1:9/" + MARK, "meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosted")
    shutil.copytree(BUNDLED / "shakespeare-gpt", folder / "runs" / "mine")
    with hosted(folder, USERS) as running:
        yield running
        assert MARK not in running.output()


@pytest.fixture(scope="module")
def stranger(server):
    return Caller(server.address)


@pytest.fixture(scope="module")
def member(server):
    return Caller(f"{server.address}/studio", ("ben", USERS["ben"]))


def opens(caller, tab):
    """The endpoint that is told that a tab was opened."""
    names = [name for name in caller.endpoints if name.startswith("open_tab")]
    targets = {c["id"]: c["props"].get("label") for c in caller.config["components"]}
    return next(name for name in names if targets[caller.endpoints[name]["targets"][0][0]] == tab)


def with_input(caller, name, elem_id):
    """The endpoint of that name, of several, that is given what a component shows."""
    wanted = next(c["id"] for c in caller.config["components"] if c["props"].get("elem_id") == elem_id)
    return next(key for key, dep in caller.endpoints.items() if key.startswith(name) and wanted in dep["inputs"])


def kept_runs(server):
    """What there is beside the hashes of weights, which the server remembers."""
    assert not [path for path in server.runs.rglob("*") if MARK in path.name]
    return sorted(path.name for path in server.runs.iterdir() if path.name != ".cache")


def refused(answer):
    """Whether a call came to nothing: not let in, or ended with an error."""
    return answer.status_code >= 400 if isinstance(answer, httpx.Response) else not answer.get("success")


def test_health_tells_how_it_is_and_no_secrets(server):
    answer = httpx.get(f"{server.address}/health")
    told = answer.json()
    assert told["status"] == "ok" and told["version"] == "0.1.0" and told["runs"] == 6 and told["uptime"] >= 0
    assert told["complete"] is True and told["signin"] is True
    assert not any(part in answer.text for pair in USERS.items() for part in pair)


def test_a_stranger_sees_tokens_attention_and_decoding(stranger):
    text = f"{MARK} would like a cup of coffee."
    values = stranger.default("settle_text")
    values[1] = text
    assert stranger.call("settle_text", values)["success"]
    tokens = stranger.call("refresh", stranger.default("refresh"))  # of what the server remembers
    assert MARK[:4] in json.dumps(tokens["output"]["data"])
    assert "heatmap" in json.dumps(stranger.call("change_part", stranger.default("change_part"))["output"]["data"])
    opened = opens(stranger, "Decoding")
    assert stranger.call(opened, stranger.default(opened))["success"]
    follows = with_input(stranger, "refresh", "decoding-opened")
    assert stranger.call(follows, stranger.default(follows))["success"]  # it is of the new text
    assert stranger.call("write_again", stranger.default("write_again"))["success"]
    assert "Ended by itself" in stranger.said and f"{MARK} would like" in stranger.said


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../etc/passwd", "/gradio_api/file=%2Fetc%2Fpasswd",
        "/static/../../../../../../etc/passwd", "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/assets//etc/passwd",
        "/assets/..%2f..%2f..%2froutes.py", "/svelte/..%5c..%5croutes.py", "/gradio_api/file=http://127.0.0.1/",
        "/gradio_api/file=", "/static/", "/assets/", "//etc/passwd", "/studio/../etc/passwd", "/studio/config",
        "/studio/gradio_api/file=/etc/passwd", "/studio/static/../../../../../etc/passwd", "/gradio_api/theme",
    ],
)  # fmt: skip
def test_no_path_leads_to_a_file_of_the_machine(server, path):
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status in (400, 401, 403, 404), (answer.status, body[:200])
    assert b"root:" not in body and b"import " not in body


def test_hostile_values_come_to_nothing(stranger, server):
    """Every endpoint of the page, with values of every wrong kind in every place."""
    wrong = [MARK * 1_000, FILE, [FILE], {"value": FILE}, [[MARK]], {MARK: 1}, 10**400, -1, True, None, ADDRESS,
             f"../../{MARK}", f"/etc/{MARK}", f"hf:org/{MARK}", "\x00", [MARK] * 50]  # fmt: skip
    names = [name for name, dep in stranger.endpoints.items() if dep["backend_fn"] and "write_again" not in name]
    for number, name in enumerate(names):
        values = stranger.default(name)
        for turn, place in enumerate(range(number % 3, len(values), max(1, len(values) // 4))):
            value = wrong[(number + 5 * turn) % len(wrong)]  # another one in each place, not all in all
            told = stranger.call(name, [*values[:place], value, *values[place + 1 :]])
            assert not isinstance(told, httpx.Response) or told.status_code != 429, "it was never looked at"
        if number % 4 == 0:  # refused before the function is asked, whichever it is
            assert refused(stranger.call(name, [])) or not values, name
    for event in ({"run": f"/etc/{MARK}"}, {"run": f"../{MARK}"}, {"run": [FILE]}, {}, None, MARK, [1]):
        told = stranger.call("choose", [], event_data=event)
        assert refused(told) or "notice-error" in json.dumps(told["output"]["data"])
        stranger.call("open_head", stranger.default("open_head"), event_data={"layer": event, "head": MARK})
    assert refused(stranger.call_number(9_999, [MARK])) and refused(stranger.call_number(MARK, []))
    assert refused(stranger.call("settle_text", MARK))
    assert kept_runs(server) == ["mine"]
    assert httpx.get(f"{server.address}/health").status_code == 200


def test_settings_hold_for_direct_calls_too(stranger):
    def decode(*columns, **settings):
        values = stranger.default("write_again")
        values[stranger.place("write_again", "Columns")] = json.dumps({"columns": columns or [{}]})
        for label, value in settings.items():
            values[stranger.place("write_again", label)] = value
        return stranger.call("write_again", values)

    def column(**settings):
        assert decode(settings)["success"]
        return stranger.said

    for length in (121, 10**9, -1, "60", None, [60]):
        assert "decoding-problem" in column(max_new_tokens=length)
    for values in ({"strategy": "beam", "num_beams": 7}, {"strategy": "best_of", "num_samples": 17}):
        assert "at most here" in column(**values)
    assert "decoding-token" in column(max_new_tokens=3) and "decoding-problem" not in column(max_new_tokens=3)
    assert "decoding-token" in column(strategy="assisted", assistant=f"/etc/{MARK}", max_new_tokens=3)
    assert refused(decode(Where="modal")) and refused(decode(Columns="x" * 2_001)) and refused(decode(Columns=FILE))
    assert decode(Columns=f"{MARK}")["success"] and decode(*[{}] * 9)["success"], "the usual columns stand"
    load = stranger.default("load_recipe")
    for recipe in (MARK, json.dumps({"model": "/etc", "text": MARK, "config": {}}), json.dumps({"temperature": -1})):
        load[stranger.place("load_recipe", RECIPE)] = recipe
        told = stranger.call("load_recipe", load)
        assert told["success"] and "/etc" not in json.dumps(told["output"]["data"][1:4])


def test_what_a_page_does_not_ask_in_its_own_way_is_not_answered(stranger):
    values = {"data": stranger.default("settle_text")}
    for path in ("/gradio_api/call/settle_text", "/gradio_api/run/settle_text", "/gradio_api/api/settle_text"):
        assert stranger.client.post(path, json=values).status_code == 404
    number = stranger.endpoints["settle_text"]["id"]
    direct = stranger.client.post("/gradio_api/run/predict", json={**values, "fn_index": number})
    assert direct.status_code == 404  # only what does not wait in the queue may be asked like that: to stop
    number = stranger.endpoints["stop_columns"]["id"]
    stop = stranger.client.post("/gradio_api/run/predict", json={"data": [], "fn_index": number, "session_hash": "x"})
    assert stop.status_code == 200
    assert stranger.client.post("/gradio_api/upload", files={"files": b"x"}).status_code == 404
    assert stranger.client.post("/gradio_api/queue/join", content=b"x" * 3_000_000).status_code == 413
    foreign = {"origin": "https://elsewhere.example"}
    assert stranger.client.post("/gradio_api/queue/join", json=values, headers=foreign).status_code == 403


def test_only_who_has_the_password_comes_in(server):
    def sign_in(name, password):
        client = httpx.Client(base_url=f"{server.address}/studio", timeout=30)
        return client.post("/login", data={"username": name, "password": password}), client

    wrong = [("ada", "wrong"), ("ada", ""), ("", ""), ("nobody", USERS["ada"]), ("ada", USERS["ben"])]
    for name, password in wrong:
        assert sign_in(name, password)[0].status_code >= 400
    answer, client = sign_in("ada", USERS["ada"])
    (cookie,) = answer.headers.get_list("set-cookie")
    assert "HttpOnly" in cookie and "Path=/studio" in cookie and "SameSite=Strict" in cookie
    assert client.get("/config").status_code == 200
    client.get("/logout")
    assert client.get("/config").status_code == 401
    body = {"fn_index": 0, "data": [], "session_hash": "x"}
    assert "sign in" in client.post("/gradio_api/queue/join", json=body).json()["detail"]


def test_the_studio_is_closed_to_strangers(server):
    client = httpx.Client(base_url=f"{server.address}/studio", timeout=30)
    assert client.get("/config").status_code == 401
    page = client.get("/")
    assert page.status_code == 200 and "auth_required" in page.text and "start_training" not in page.text
    assert client.post("/gradio_api/upload", files={"files": b"x"}).status_code == 401
    assert client.get("/gradio_api/file=/etc/passwd").status_code == 401
    assert httpx.get(f"{server.address}/studio").headers["location"] == "/studio/"


def test_members_see_no_files_of_the_machine_either(member):
    assert member.client.get("/gradio_api/file=/etc/passwd").status_code == 403
    assert member.client.get("/gradio_api/file=/proc/self/environ").status_code == 403
    values = member.default("look_at_data")
    values[member.place("look_at_data", "Data")] = "upload"
    for file in (FILE, ADDRESS, "/etc/passwd", [FILE]):
        values[member.place("look_at_data", "Text file, or table with columns")] = file
        assert refused(member.call("look_at_data", values)), file


def test_members_start_nothing_on_this_machine(member, server):
    values = member.default("start_training")
    name = member.place("start_training", "Name of the run")
    values[name] = "forbidden"
    values[member.place("start_training", "Where")] = "local"
    assert refused(member.call("start_training", values))
    assert refused(member.call("resume_run", [f"../{MARK}", 10, None, [], "loss", "step", 0.6, False]))
    told = member.call("resume_run", ["mine", 100_000, None, [], "loss", "step", 0.6, False])
    assert "trains nothing" in json.dumps(told["output"]["data"])
    assert kept_runs(server) == ["mine"]


def test_a_member_uploads_within_limits_and_exports(member):
    answer = member.client.post("/gradio_api/upload", files={"files": ("notes.txt", b"some words\n" * 50)})
    (path,) = answer.json()
    values = member.default("look_at_data")
    values[0] = "llama-pydocs"
    values[member.place("look_at_data", "Data")] = "upload"
    values[member.place("look_at_data", "Text file, or table with columns")] = {**FILE, "path": path}
    assert "some words" in json.dumps(member.call("look_at_data", values)["output"]["data"])
    assert member.client.post("/gradio_api/upload", files={"files": b"x" * 110_000_000}).status_code == 413
    (file,) = member.call("export", ["mine"])["output"]["data"][1]["value"][:1]
    assert member.client.get(f"/gradio_api/file={file['path']}").content[:2] == b"PK"


def test_the_log_tells_of_errors_and_not_of_texts(server, stranger):
    """Last, as the fixture looks once more when all is done."""
    values = stranger.default("refresh")
    values[stranger.place("refresh", "Special tokens in the text (<s> …) are tokens")] = [MARK]
    stranger.call("refresh", values)
    stranger.client.get(f"/{MARK}", params={MARK: MARK})
    deadline = time.monotonic() + 10
    while "TypeError at" not in server.output() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "TypeError at" in server.output() and MARK not in server.output()
    assert "a long password" not in server.output()


def test_without_users_there_is_no_studio(monkeypatch, tmp_path):
    from starlette.testclient import TestClient

    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    with TestClient(hosted_app()) as client:
        assert "Training is off on this public page" in client.get("/").text
        assert "Sign in" not in client.get("/").text
        assert client.get("/studio", follow_redirects=False).status_code == 404
        assert client.get("/studio/").status_code == 404
        assert client.post("/studio/login", data={"username": "a", "password": "b"}).status_code == 404
        assert client.get("/health").json()["signin"] is False


def test_users_are_read_from_lines():
    assert read_users("ada:one\n ben : two words \n\n#\nno colon\nempty:\n:x") == {"ada": "one", "ben": " two words"}
    check = SignIn({"ada": "pä:ss", "none": ""})
    assert check("ada", "pä:ss") and not check("ada", "pä:sS") and not check("bob", "") and not check("", "")
    assert not check("bob", "no password is this") and not check("ada", "\ud800")
