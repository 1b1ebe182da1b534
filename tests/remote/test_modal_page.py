"""The Training tab with Modal as the place, and a stand-in for its server: the handlers, as the page calls them."""

import time

import pytest

from core.run import find_run, read_status
from playground.tabs import training, training_follow, training_modal, training_place
from playground.training_form import Form
from playground.views.training_place import remote_runs_html
from tests.remote.deployed import deployed, nobody_follows

FORM = list(Form("demo", "own", 32, 1, steps=12).__dict__.values())
LOOKS = ([], "loss", "step", 0.0, False)
HERE, THERE = ("local", "L4", 1, 4, True), ("modal", "T4", 1, 4, True)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with deployed(tmp_path_factory.mktemp("cloud")) as server:
        yield server


@pytest.fixture
def server(cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    yield cloud
    nobody_follows(tmp_path / "runs")
    cloud.recover()


def test_the_place_says_what_it_costs_and_whether_it_can_be_used(server):
    assert list(training_place.choose(*HERE, *FORM)) == [[{"visible": False, "__type__": "update"}, "", ""]]
    first, last = training_place.choose(*THERE, *FORM)
    assert "Asking Modal" in first[2] and "the app is deployed" in last[2]
    assert "$" in last[1] and "an hour" in last[1] and "modal.com/pricing" in last[1]
    assert training_place.reckon("modal", "T4", 9, 4, True, *FORM).count("number of GPUs") == 1
    assert "Steps must be a whole number" in training_place.reckon(*THERE, *FORM[:12], -3, *FORM[13:])
    dear, cheap = (training_place.reckon("modal", gpu, 1, 4, True, *FORM) for gpu in ("B200", "T4"))
    assert dear != cheap


def test_without_a_token_it_says_what_to_do_and_asks_nobody(server, monkeypatch):
    asked = server.asked.total()
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"):
        monkeypatch.delenv(name)
    (only,) = training_place.choose(*THERE, *FORM)
    assert "modal setup" in only[2] and "$" in only[1]
    said = list(training.start_training("x", *LOOKS, *THERE, *FORM))[-1][0]
    assert "modal setup" in said and server.asked.total() == asked
    assert "modal setup" in list(training_modal.look())[-1][0]


def test_started_followed_stopped_listed_and_brought_here(server, tmp_path):
    long = [*FORM[:12], 100_000, *FORM[13:]]
    busy, *saying, done = training.start_training("page", *LOOKS, *THERE, *long)
    assert any("Asking Modal for a container" in said[0] for said in saying)
    assert "Asking Modal" in busy[0] and "page is starting on Modal" in done[0]
    end = time.time() + 60
    while time.time() < end and read_status(find_run("page")).step == 0:
        time.sleep(0.2)
    drawn = training.tick("page", *LOOKS, False, None)
    assert "on Modal, T4" in drawn[0] and "price so far" in drawn[0]
    assert "pauses after this step" in training_follow.pause_or_go_on("page")
    assert "goes on" in training_follow.pause_or_go_on("page")
    assert "stops after this step" in training_follow.stop_training("page")
    while time.time() < end and read_status(find_run("page")).is_active:
        time.sleep(0.2)
    assert read_status(find_run("page")).state == "cancelled"
    assert "On Modal, T4: about" in training_follow.rest_of(training_follow.progress_of("page"))[2]
    *saying, last = training_follow.resume_run("page", 200_000, 1e-3, *LOOKS)
    assert any("Asking Modal for a container" in said[0] for said in saying)
    assert "goes on from its last checkpoint" in last[0] and read_status(find_run("page")).is_active
    training_follow.stop_training("page")
    while time.time() < end and read_status(find_run("page")).is_active:
        time.sleep(0.2)
    # Another machine, which knows nothing of it.
    (tmp_path / "runs").rename(tmp_path / "other")
    shown = list(training_modal.look())[-1]
    assert "page" in shown[1] and "<td>no</td>" in shown[1] and shown[2]["value"] == "page"
    *_, last = training_modal.pull("page", "best")
    assert "page is here" in last[0] and (find_run("page") / "model.safetensors").exists()
    assert "is not there" in list(training_modal.pull("nobody", "best"))[-1][0]


def test_what_is_sent_is_told_while_it_is_sent(server, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("".join(f"to be or not to be, {number}\n" for number in range(2_000)))
    form = ["gpt-shakespeare", "own", 32, 1, "upload", str(path), *FORM[6:12], 4, *FORM[13:]]
    *saying, last = training.start_training("sent", *LOOKS, *THERE, *form)
    assert "sent is starting on Modal" in last[0]
    assert any("Sending the data: 0 of 0 MB" in said[0] and "busy" in said[0] for said in saying)
    training_follow.stop_training("sent")


def test_names_are_shown_and_never_run():
    found = [{"name": "<script>alert(1)</script>", "state": "<b>", "family": None, "step": None, "steps": "7"}]
    assert "<script>" not in remote_runs_html(found, []) and "<b>" not in remote_runs_html(found, [])
    assert "no runs" in remote_runs_html([], [])
