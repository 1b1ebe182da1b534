"""manifest.json."""

import hashlib
import os
import shutil

import pytest

from core.files import read_json
from remote.transfer import manifest, pull, write_manifest
from tests.remote.flaky import assert_same_files, place


def test_a_manifest_reads_only_what_has_changed(tmp_path, trained, monkeypatch):
    run = tmp_path / "tiny"
    shutil.copytree(trained, run)
    os.link(run / "checkpoints" / "last.ckpt", run / "checkpoints" / "other.ckpt")
    read = []
    real = manifest.sha256_of
    monkeypatch.setattr(manifest, "sha256_of", lambda path: read.append(path.name) or real(path))
    files = write_manifest(run)["files"]
    assert ("last.ckpt" in read) != ("other.ckpt" in read)
    assert files["checkpoints/last.ckpt"]["sha256"] == files["checkpoints/other.ckpt"]["sha256"]
    assert not {"status.json", "stop", "manifest.json", "remote.json"} & files.keys()
    for path, entry in files.items():
        assert entry["sha256"] == hashlib.sha256((run / path).read_bytes()).hexdigest()
    read.clear()
    assert write_manifest(run)["files"] == files and read == []
    (run / "metrics.jsonl").write_bytes(b"{}\n")
    (run / "samples.jsonl").unlink()
    changed = write_manifest(run)["files"]
    assert read == ["metrics.jsonl"] and "samples.jsonl" not in changed
    assert read_json(run / "manifest.json") == {"files": changed}


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"a": 3, "b": {"size": "x"}}}', "\xff"])
def test_a_broken_manifest_is_none(text, store, runs, trained):
    there = place(store, trained)
    (there / "manifest.json").write_text(text, encoding="latin-1")
    pull("tiny", runs, "all", store)
    assert_same_files(runs / "tiny", there)
