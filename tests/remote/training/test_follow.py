"""The copy of a run that trains elsewhere: brought up to date, through interruptions on both sides, to its end."""

import json
import threading
import time
from dataclasses import asdict, replace

import pytest

from core.files import read_json, read_jsonl, write_json
from core.run import Status, create_run, list_runs, read_status
from remote.calls import Outcome
from remote.link import CloudError, NoAnswer
from remote.training import attempt as attempt_module
from remote.training import follow
from remote.training.attempt import Attempt, Order
from remote.training.feed import Picture, take
from remote.training.follow import KNOWN, LOST, SILENT, Follower, ensure_followed
from tests.core.train.conftest import files  # noqa: F401
from tests.core.train.tiny_runs import config


class Feed(dict):
    def put(self, key, value):
        self[key] = value


@pytest.fixture
def copy(files, tmp_path):  # noqa: F811
    """A run that was launched a moment ago."""
    directory = create_run(config(files), "first", tmp_path / "runs")
    Status(backend="modal", steps=24, message="waiting", call_id="fc-1").write(directory)
    link = {"name": "first", "launch": "a", "call_id": "fc-1", "gpu": "L4", "sent": time.time()}
    write_json(directory / "remote.json", link)
    return directory


class Modal:
    """What Modal says: the outcome of a call, and files of the Volume (a folder)."""

    def __init__(self, volume):
        self.volume, self.answer, self.asked = volume, Outcome("pending"), 0

    def outcome(self, call_id):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def read(self, path):
        path = self.volume / path
        return path.read_bytes() if path.is_file() else None


@pytest.fixture
def modal(tmp_path):
    return Modal(tmp_path / "volume")


@pytest.fixture
def fetched():
    return []


@pytest.fixture
def follower(copy, modal, fetched):
    return Follower(copy.parent, Feed(), modal.outcome, modal.read, fetched.append)


def picture(directory, launch="a", **status):
    values = {**asdict(read_status(directory)), **status}
    return replace(take(directory, launch, "fc-1", {}), status=values).to_dict()


def test_a_run_from_its_launch_to_its_end(files, copy, modal, follower, fetched, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(attempt_module, "LOOK", 0.05)  # a small run is soon over
    monkeypatch.setattr(attempt_module, "TELL", 0.1)
    order = Order("first", config(files, "train.max_steps=90").to_dict(), "a", gpu="L4", price_per_hour=2.0)
    attempt = Attempt(order, tmp_path / "disk", modal.volume / "runs", follower.feed, call_id="fc-1")

    def train():
        modal.answer = Outcome("done", attempt.work())

    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    states, follower._asked["first"] = set(), 0.0
    end = time.time() + 60
    while follower.look(copy) and time.time() < end:
        status = read_status(copy)
        states.add((status.state, status.step > 0, status.backend))
        time.sleep(0.05)
    thread.join(10)
    kept = modal.volume / "runs" / "first"
    final = read_status(copy)
    assert (final.state, final.step, final.backend, final.call_id) == ("done", 90, "modal", "fc-1")
    assert ("running", True, "modal") in states and fetched == [copy] and follower.active() == []
    for name in ("metrics.jsonl", "samples.jsonl", "train.log", "tokenizer.json"):
        assert (copy / name).read_bytes() == (kept / name).read_bytes()
    assert final.rented_seconds >= final.seconds > 0 and final.price_per_hour == 2.0


def test_an_end_is_shown_when_the_call_has_ended(copy, modal, follower, fetched):
    follower.feed["first"] = picture(copy, state="failed", error="The training process ended with code -9.", step=7)
    assert follower.look(copy)
    status = read_status(copy)
    assert status.state == "running" and "another container" in status.message and not status.error
    follower.feed["first"] = picture(copy, state="done", step=24)
    follower.look(copy)
    assert read_status(copy).state == "running" and not fetched
    follower._asked.clear()
    modal.answer = Outcome("done", asdict(Status(state="done", step=24, steps=24, message="finished")))
    assert not follower.look(copy)
    assert read_status(copy).state == "done" and fetched == [copy]


@pytest.mark.parametrize(
    "answer, kept, state, words",
    [
        (Outcome("failed", error="It failed on Modal: Died"), None, "failed", "Died"),
        (
            Outcome("failed", error="It failed"),
            {"state": "failed", "error": "out of memory"},
            "failed",
            "out of memory",
        ),
        (Outcome("cancelled"), {"state": "running", "step": 5}, "cancelled", "cancelled"),
        (Outcome("forgotten"), {"state": "done", "step": 24, "message": "finished"}, "done", "finished"),
        (Outcome("forgotten"), {"state": "running", "step": 3}, "failed", "does not know"),
        (Outcome("forgotten"), None, "failed", "does not know"),
        (Outcome("done", {"state": "failed", "error": "no column 'src'"}), None, "failed", "no column"),
        (Outcome("done", "nonsense"), None, "failed", "does not know"),
    ],
)
def test_how_a_call_can_end(answer, kept, state, words, copy, modal, follower):
    if kept is not None:
        (modal.volume / "runs" / "first").mkdir(parents=True)
        write_json(modal.volume / "runs" / "first" / "status.json", {"backend": "modal", **kept})
    modal.answer = answer
    if answer.state == "forgotten":  # of a call that was made a moment ago it means nothing: see below
        write_json(copy / "remote.json", {**read_json(copy / "remote.json"), "sent": time.time() - KNOWN - 1})
    assert not follower.look(copy)
    status = read_status(copy)
    assert status.state == state and words in status.error + status.message


def test_a_call_that_is_not_known_too_early_is_no_end(copy, modal, follower):
    """Another account may be asked than the one that launched it."""
    modal.answer = Outcome("forgotten")
    with pytest.raises(CloudError, match="does not know the call"):
        follower.look(copy)
    assert read_status(copy).is_active
    write_json(copy / "remote.json", {**read_json(copy / "remote.json"), "account": "work/main"})
    follower._asked.clear()
    with pytest.raises(CloudError, match="work/main, but .* MODAL_PROFILE"):
        follower.look(copy)


def test_a_training_that_has_ended_long_ago_ends_without_its_call(copy, modal, follower):
    """A call that Modal does not say anything of for ever is not waited for, for ever."""
    (modal.volume / "runs" / "first").mkdir(parents=True)
    write_json(modal.volume / "runs" / "first" / "status.json", {"state": "done", "step": 24, "message": "finished"})
    modal.answer = CloudError("Modal cannot be reached.")
    follower.feed["first"] = picture(copy, state="done", step=24, heartbeat=time.time())
    with pytest.raises(CloudError):
        follower.look(copy)
    follower.feed["first"] = picture(copy, state="done", step=24, heartbeat=time.time() - SILENT - 1)
    follower._asked.clear()
    assert not follower.look(copy) and read_status(copy).state == "done"


def test_an_order_that_is_refused_leaves_the_run_as_it_was(copy, modal, follower):
    Status(state="queued", step=16, steps=24, backend="modal", machine="L4", rented_seconds=90.0).write(copy)
    modal.answer = Outcome("done", {"state": "failed", "error": "There is already a run first on Modal."})
    assert not follower.look(copy)
    status = read_status(copy)
    assert (status.state, status.step, status.machine, status.rented_seconds) == ("failed", 16, "L4", 90.0)
    assert "already a run" in status.error


def test_what_is_broken_in_one_copy_does_not_keep_the_others_waiting(copy, modal, follower, files, monkeypatch):  # noqa: F811
    other = create_run(config(files), "other", copy.parent)
    Status(backend="modal", steps=24, call_id="fc-2").write(other)
    write_json(other / "remote.json", {"nothing": "that is needed"})
    modal.answer = Outcome("done", {"state": "done", "step": 24})
    said = []
    follower.say = said.append
    monkeypatch.setattr(follow, "IDLE", 0.05)
    monkeypatch.setattr(follow.time, "sleep", lambda seconds: Status(state="done").write(other))
    follower.run()
    assert read_status(copy).state == "done" and any("other: KeyError" in line for line in said)


def test_results_that_cannot_be_fetched_are_not_lost(copy, modal, follower):
    def fail(directory):
        raise CloudError("Modal cannot be reached.")

    follower.fetch = fail
    modal.answer = Outcome("done", {"state": "done", "step": 24, "message": "finished"})
    assert not follower.look(copy)
    status = read_status(copy)
    assert status.state == "done" and status.message == "finished; not fetched: Modal cannot be reached."


def test_while_modal_cannot_be_reached_the_run_goes_on(copy, modal, follower, monkeypatch):
    waits, answers = [], [NoAnswer("Modal did not answer."), Outcome("done", {"state": "done", "step": 24})]

    def sleep(seconds):
        waits.append((seconds, read_status(copy).message, read_status(copy).state))
        modal.answer = answers[1]
        follower._asked.clear()

    modal.answer = answers[0]
    monkeypatch.setattr(follow.time, "sleep", sleep)
    monkeypatch.setattr(follow, "IDLE", 0.05)
    monkeypatch.setattr(follow, "SLOW", 0.0)
    follower.run()
    assert waits[0][1:] == ("not heard of just now: Modal did not answer.", "queued")
    assert read_status(copy).state == "done"


def test_a_call_that_nobody_confirmed_is_found_by_its_launch(copy, modal, follower):
    link = read_json(copy / "remote.json")
    write_json(copy / "remote.json", {**link, "call_id": ""})
    assert follower.look(copy) and modal.asked == 0
    follower.feed["first"] = {**picture(copy, launch="of an earlier one"), "call_id": "fc-0"}
    assert follower.look(copy) and modal.asked == 0 and read_json(copy / "remote.json")["call_id"] == ""
    follower.feed["first"] = {**picture(copy, state="running", step=3), "call_id": "fc-9"}
    assert follower.look(copy) and modal.asked == 1
    assert read_json(copy / "remote.json")["call_id"] == "fc-9" and read_status(copy).call_id == "fc-9"


def test_one_that_was_never_taken_has_failed_after_a_while(copy, follower):
    write_json(copy / "remote.json", {"name": "first", "launch": "a", "call_id": "", "sent": time.time() - LOST - 1})
    assert not follower.look(copy) and "did not take" in read_status(copy).error


def test_hostile_pictures_change_nothing_but_the_status(copy, follower):
    for value in (None, "x", {"launch": "a"}, {"launch": "a", "call_id": [], "status": {"state": 3}, "parts": {}}):
        follower.feed["first"] = value
        follower.look(copy)
        assert read_status(copy).state in ("queued", "running")
    assert Picture.from_dict("x") is None


def test_a_run_elsewhere_is_as_it_was_last_heard_of(copy):
    values = json.loads((copy / "status.json").read_text())
    write_json(copy / "status.json", {**values, "state": "running", "heartbeat": 1.0})
    assert read_status(copy).state == "running"
    assert [info.status.state for info in list_runs(copy.parent) if info.name == "first"] == ["running"]


def test_the_process_is_started_once_and_only_where_there_is_something_to_follow(copy, monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(follow, "detached", lambda *command, log: started.append(command))
    assert ensure_followed(copy.parent) and started == [("remote.training.follow", str(copy.parent.resolve()))]
    with follow._only_one(copy.parent / follow.FOLDER):
        assert not ensure_followed(copy.parent)
    Status(state="done", backend="modal").write(copy)
    assert not ensure_followed(copy.parent) and not ensure_followed(tmp_path / "nothing")
    assert len(started) == 1
    assert read_jsonl(copy / "metrics.jsonl") == []
