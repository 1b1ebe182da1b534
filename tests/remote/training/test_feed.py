"""Pictures of a run, and copies that are brought up to date with them."""

import json
import random

import pytest

from core.run import Status
from remote.training.feed import TAIL, Picture, apply, take, wish, wish_of


class Dict(dict):
    def put(self, key, value):
        self[key] = value


def line(number, width=40):
    return (json.dumps({"step": number, "x": "y" * width}) + "\n").encode()


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    Status(state="running", step=3, steps=9).write(directory)
    return directory


def sent(picture):
    """As it comes out of the Dict at the other side, of which nothing is believed."""
    return Picture.from_dict(json.loads(json.dumps(picture.to_dict(), default=list), object_hook=_bytes))


def _bytes(values):
    if "parts" in values:
        values["parts"] = {k: (start, bytes(data)) for k, (start, data) in values["parts"].items()}
    return values


@pytest.mark.parametrize("seed", range(12))
def test_a_copy_is_the_file_whatever_was_missed(seed, run, tmp_path):
    """A file that grows, and is cut back when a run goes on from a checkpoint; a reader that looks now and then."""
    rng, copy = random.Random(seed), tmp_path / "copy"
    copy.mkdir()
    path, number, reads = run / "metrics.jsonl", 0, []

    def whole(name):
        reads.append(name)
        return (run / name).read_bytes()

    for _ in range(60):
        if rng.random() < 0.1 and path.exists():  # another attempt
            lines = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(lines[: rng.randint(0, len(lines))]))
        with open(path, "ab") as file:
            for _ in range(rng.choice([1, 3, 400])):
                number += 1
                file.write(line(number, rng.randint(1, 90)))
        if rng.random() < 0.6:
            apply(copy, sent(take(run, "a", "fc-1", {"step": number})), whole)
            # A change that lies before what a picture shows is seen only once it matters: at the next whole reading.
            assert (copy / "metrics.jsonl").read_bytes()[-TAIL:] == path.read_bytes()[-TAIL:]
            assert len((copy / "metrics.jsonl").read_bytes()) == path.stat().st_size
    assert len(reads) < 40


def test_what_cannot_be_read_now_is_left_as_it_is(run, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "train.log").write_bytes(b"old\n")
    (run / "train.log").write_bytes(b"a" * (2 * TAIL))
    apply(copy, take(run, "a", "fc-1", {}), lambda name: None)
    assert (copy / "train.log").read_bytes() == b"old\n"


def test_a_picture_holds_little_and_nothing_that_was_not_asked_for(run):
    (run / "metrics.jsonl").write_bytes(b"".join(line(n) for n in range(20_000)))
    (run / "secret.txt").write_text("x")
    picture = take(run, "a", "fc-1", {"machine": "H100"})
    assert len(picture.parts["metrics.jsonl"][1]) == TAIL and set(picture.parts) == {"metrics.jsonl"}
    assert picture.status["machine"] == "H100" and picture.status["step"] == 3


@pytest.mark.parametrize(
    "value",
    [None, 3, "x", {}, {"launch": 1}, {"launch": "a", "call_id": "b", "status": 3, "parts": {}},
     {"launch": "a", "call_id": "b", "status": {}, "parts": {"metrics.jsonl": ["x", b""]}},
     {"launch": "a", "call_id": "b", "status": {}, "parts": {"metrics.jsonl": [0]}}],
)  # fmt: skip
def test_what_is_no_picture_is_none(value):
    assert Picture.from_dict(value) is None


def test_files_that_no_run_grows_are_not_taken_from_a_picture(run, tmp_path):
    values = {**take(run, "a", "b", {}).to_dict(), "parts": {"../x": [0, b"1"], "config.json": [0, b"1"]}}
    apply(tmp_path, Picture.from_dict(values), lambda name: b"")
    assert not (tmp_path.parent / "x").exists() and not (tmp_path / "config.json").exists()


def test_a_wish_is_to_one_launch():
    feed = Dict()
    assert wish_of(feed, "r", "a") == ""
    wish(feed, "r", "a", "stop")
    assert wish_of(feed, "r", "a") == "stop" and wish_of(feed, "r", "b") == ""
    feed.put("r/wish", "nonsense")
    assert wish_of(feed, "r", "a") == ""
