"""Files in shards: results in their order, whatever comes back when; failures by themselves; going on after a break."""

import json
import threading
from collections import Counter
from itertools import islice

import pytest

from core.errors import DataError, RunError
from remote.decoding import parts, shards
from remote.decoding.parts import failures_file, parts_folder, read_lines
from remote.decoding.shards import write_file


def upper(texts):
    return [{"error": f"{text} is bad"} if "bad" in text else {"text": text.upper(), "score": 0.0} for text in texts]


def plain(tasks):
    for number, texts in tasks:
        yield number, upper(texts)


def backwards(tasks, at_once=7):
    """Takes several before it answers, and answers the last one first."""
    while taken := list(islice(tasks, at_once)):
        for number, texts in reversed(taken):
            yield number, upper(texts)


def threaded(tasks):
    """Reads its tasks in another thread, as Modal's `map` does."""
    answers, ready = [], threading.Semaphore(0)

    def read():
        for number, texts in tasks:
            answers.append((number, upper(texts)))
            ready.release()
        answers.append(None)
        ready.release()

    threading.Thread(target=read, daemon=True).start()
    while ready.acquire(timeout=20) and (answer := answers.pop(0)):
        yield answer


class Shaky:
    """Counts what it is asked for. A shard fails as a whole while `fails(texts, times asked)` gives a sentence."""

    def __init__(self, fails=lambda texts, times: None):
        self.fails, self.asked = fails, Counter()

    def __call__(self, tasks):
        for number, texts in tasks:
            self.asked[tuple(texts)] += 1
            said = self.fails(texts, self.asked[tuple(texts)])
            yield number, RuntimeError(said) if said else upper(texts)


@pytest.fixture
def files(tmp_path):
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"

    def fill(lines):
        source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return source, target

    return fill


def failures(target):
    return [json.loads(line) for line in failures_file(target).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("mapper", [plain, backwards, threaded])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95])
def test_results_in_order(files, mapper, count):
    source, target = files([f"line {i}" for i in range(count)])
    done = write_file(source, target, mapper, "key", lines=10)
    assert target.read_text() == "".join(f"LINE {i}\n" for i in range(count))
    assert (done.lines, done.failed, done.failures) == (count, 0, None)
    assert sorted(path.name for path in target.parent.iterdir()) == ["in.txt", "out.txt"], "nothing is left behind"


@pytest.mark.parametrize(
    "data",
    [
        b"a\r\nb\n",
        b"\xef\xbb\xbfa\nb",
        b"a\n\n\nb\n",
        b"\n",
        b"a\xff\xe3\x81\nb\xe3",
        b"a\rb\xe2\x80\xa8c\x0bd\n",
        b"a\r",
    ],
)
def test_lines_are_those_of_standard_input(tmp_path, monkeypatch, data):
    import io
    import sys

    from playground.commands.text import _input_lines

    (tmp_path / "in.txt").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert list(read_lines(tmp_path / "in.txt")) == _input_lines("empty")
    done = write_file(tmp_path / "in.txt", tmp_path / "out.txt", plain, "key", lambda text, answer: "x\ny\r\nz")
    assert (tmp_path / "out.txt").read_bytes() == b"x y z\n" * done.lines, "a line stays a line"
    assert done.lines == len(_count(data))


def _count(data):
    lines = data.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def test_of_a_huge_line_the_beginning_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "LONGEST_LINE", 8)
    (tmp_path / "in.txt").write_bytes(b"a\n" + b"b" * 100 + b"\nc\n1234567\n12345678\n" + b"d" * 16)
    assert list(read_lines(tmp_path / "in.txt")) == ["a", "b" * 8, "c", "1234567", "12345678", "d" * 8]


def test_lines_that_fail_are_listed_and_harm_no_other(files):
    lines = [f"{i} bad" if i % 37 == 0 else f"{i}" for i in range(300)]
    source, target = files(lines)
    mapper = Shaky()
    done = write_file(source, target, mapper, "key", lines=64)
    bad = [i for i in range(300) if i % 37 == 0]
    assert done.failed == len(bad) and done.failures == failures_file(target)
    assert target.read_text().split("\n")[:-1] == ["" if i in bad else str(i) for i in range(300)]
    assert failures(target) == [{"line": i + 1, "text": f"{i} bad", "error": f"{i} bad is bad"} for i in bad]
    again = [texts for texts in mapper.asked if len(texts) < 40]
    assert sorted(text for texts in again for text in texts if "bad" in text) == sorted(f"{i} bad" for i in bad)
    assert max(mapper.asked.values()) == 1, "the failed ones are asked for once more, without the others"


def test_a_line_that_fails_with_another_error_each_time_is_tried_a_few_times(files):
    source, target = files(["a", "b"])
    times = Counter()

    def moody(tasks):
        for number, texts in tasks:
            times.update(texts)
            yield number, [{"error": f"no. {times[t]}"} if t == "b" else {"text": t} for t in texts]

    done = write_file(source, target, moody, "key")
    assert times == {"a": 1, "b": shards.TRIES} and done.failed == 1
    done = write_file(source, target, plain, "key")
    assert done.failed == 0 and not failures_file(target).exists(), "an old list is not left beside new results"


def test_a_shard_that_fails_is_asked_for_again_and_then_in_halves(files):
    lines = [str(i) for i in range(64)]
    source, target = files(lines)
    mapper = Shaky(lambda texts, times: "out of memory" if "21" in texts else None)
    done = write_file(source, target, mapper, "key", lines=16)
    assert failures(target) == [{"line": 22, "text": "21", "error": "out of memory"}] and done.failed == 1
    assert target.read_text().split("\n")[:-1] == ["" if i == 21 else str(i) for i in range(64)]
    sizes = [len(texts) for texts in mapper.asked.elements() if "21" in texts]
    assert sorted(sizes, reverse=True) == [16, 16, 8, 4, 2, 1, 1], "twice whole, halves, twice alone"

    source, target = files(lines)
    mapper = Shaky(lambda texts, times: "preempted" if times == 1 else None)
    done = write_file(source, target, mapper, "key", lines=16)
    assert done.failed == 0 and set(mapper.asked.values()) == {2}, "the same once more is enough"


def test_when_nothing_works_it_ends(files):
    source, target = files([str(i) for i in range(1_000)])
    mapper = Shaky(lambda texts, times: "the app is broken")
    with pytest.raises(RunError, match="the app is broken"):
        write_file(source, target, mapper, "key", lines=10)
    assert sum(mapper.asked.values()) < 50 and not target.exists()
    mapper = Shaky(lambda texts, times: "an outage" if int(texts[0]) >= 500 else None)
    with pytest.raises(RunError, match="an outage"):
        write_file(source, target, mapper, "key", lines=10)
    assert len(list(parts_folder(target).glob("*/*.jsonl"))) == 50, "what was done before it is kept"


def test_it_goes_on_after_a_break(files):
    lines = [f"{i} bad" if i == 30 else str(i) for i in range(100)]
    source, target = files(lines)

    def broken_off(tasks):
        for number, texts in tasks:
            if "55" in texts:
                raise KeyboardInterrupt
            yield number, upper(texts)

    seen = []
    with pytest.raises(KeyboardInterrupt):
        write_file(source, target, broken_off, "key", lines=10, progress=seen.append)
    assert not target.exists() and [p.done for p in seen] == [10, 20, 30, 40, 50]
    broken = sorted(parts_folder(target).glob("*/*.jsonl"))[1]
    broken.write_text('{"text": "half a')  # by a full disk, say
    mapper, seen = Shaky(), []
    done = write_file(source, target, mapper, "key", lines=10, progress=seen.append)
    assert {texts[0] for texts in mapper.asked} == {"10", "50", "60", "70", "80", "90"}, "only what is missing"
    assert target.read_text().split("\n")[:-1] == ["" if i == 30 else str(i) for i in range(100)]
    assert (done.lines, done.failed) == (100, 1) and seen[-1].done == seen[-1].lines == 100
    assert [p.eta > 0 for p in seen] == [True] * 5 + [False] and not parts_folder(target).exists()


@pytest.mark.parametrize("change", ["key", "input", "size"])
def test_parts_of_another_job_are_not_used(files, change):
    source, target = files([str(i) for i in range(100)])

    def stops(tasks):
        for number, texts in tasks:
            yield number, [{"text": "old"} for _ in texts]
            raise RunError("enough")

    with pytest.raises(RunError):
        write_file(source, target, stops, "key", lines=10)
    if change == "input":
        files([f"{i}!" for i in range(100)])
    write_file(source, target, plain, "other" if change == "key" else "key", lines=20 if change == "size" else 10)
    assert "old" not in target.read_text() and not parts_folder(target).exists()


def test_a_folder_that_is_somebody_elses_stays(files):
    source, target = files(["a"])
    parts_folder(target).mkdir()
    (parts_folder(target) / "notes.txt").write_text("mine")
    write_file(source, target, plain, "key")
    assert [path.name for path in parts_folder(target).iterdir()] == ["notes.txt"]


def test_files_that_cannot_be(files, tmp_path):
    source, target = files(["a"])
    for wrong, other, sentence in [
        (tmp_path / "no.txt", target, "There is no file"), (tmp_path, target, "is not a file"),
        (source, tmp_path, "is a directory"), (source, source, "another file"),
        (source, tmp_path / "no" / "out.txt", "There is no directory"),
        (tmp_path / ("x" * 300), target, "not a usable"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=sentence):
            write_file(wrong, other, plain, "key")

    def changing(tasks):
        for number, texts in tasks:
            source.write_text("b\n")
            yield number, upper(texts)

    with pytest.raises(DataError, match="was changed"):
        write_file(source, target, changing, "key")
    assert not target.exists()


def test_a_mapper_that_forgets_or_miscounts(files):
    source, target = files([str(i) for i in range(30)])
    asked = Counter()

    def careless(tasks):
        for number, texts in tasks:
            asked[texts[0]] += 1
            if asked[texts[0]] > 1 or texts[0] == "20":
                yield number, upper(texts)
            elif texts[0] == "0":
                yield number, upper(texts)[1:]

    assert write_file(source, target, careless, "key", lines=10).failed == 0
    assert target.read_text().split("\n")[:-1] == [str(i) for i in range(30)]


def test_no_more_is_held_than_what_is_being_decoded(files):
    """A long file whose lines all fail once: the tasks that are open never grow beyond what the mapper takes."""
    source, target = files([f"{i}" for i in range(5_000)])
    job = []
    init = shards._Job.__init__

    def remembered(self, *arguments):
        init(self, *arguments)
        job.append(self)

    times = Counter()

    def mapper(tasks):
        while taken := list(islice(tasks, 4)):
            for number, texts in taken:
                times.update(texts)
                yield number, [{"text": t} if times[t] > 1 else {"error": "once more"} for t in texts]
                assert len(job[0]._flying) + len(job[0]._again) <= 8

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards._Job, "__init__", remembered)
        assert write_file(source, target, mapper, "key", lines=50).failed == 0
    assert set(times.values()) == {2}
