"""Word vectors kept in the runs directory: what is written is read again, and broken or hostile folders harm nobody."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.analysis.own_vectors import (
    check_vectors_free,
    delete_vectors,
    embeddings_dir,
    open_vectors,
    own_vectors,
    save_vectors,
    unused_vectors_name,
)
from core.analysis.word2vec import Settings, train
from core.errors import RunError


@pytest.fixture(scope="module")
def model():
    *_, last = train([["<b>", "東京", "a b"]] * 9, Settings(size=4, min_count=1, seed=3))
    return last.model


def test_what_is_kept_is_read_again(tmp_path, model):
    about = save_vectors("mine", model, "a text", 27, 0.5, 2.0, tmp_path)
    read = open_vectors("mine", tmp_path)
    assert read.words == model.words and read.settings == model.settings
    for field in ("input", "output", "counts"):
        np.testing.assert_array_equal(getattr(read, field), getattr(model, field))
    assert own_vectors(tmp_path) == [about] and about.words == 3 and about.loss == 2.0
    assert unused_vectors_name("mine", tmp_path) == "mine-2" and unused_vectors_name("x", tmp_path) == "x"
    with pytest.raises(RunError, match="already"):
        save_vectors("mine", model, "", runs_dir=tmp_path)
    delete_vectors("mine", tmp_path)
    assert own_vectors(tmp_path) == [] and list(embeddings_dir(tmp_path).iterdir()) == []


def test_a_loss_that_is_not_known_is_kept_as_nothing(tmp_path, model):
    assert save_vectors("mine", model, "", loss=float("nan"), runs_dir=tmp_path).loss is None
    assert own_vectors(tmp_path)[0].loss is None


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc", ".hidden", "x" * 65, None, 3, "a\n"])
def test_no_name_points_elsewhere(tmp_path, model, name):
    (tmp_path / "x").mkdir()
    for act in (
        lambda: save_vectors(name, model, "", runs_dir=tmp_path),
        lambda: open_vectors(name, tmp_path),
        lambda: delete_vectors(name, tmp_path),
        lambda: check_vectors_free(name, tmp_path),
    ):
        with pytest.raises(RunError):
            act()
    assert (tmp_path / "x").is_dir()


def test_none_of_that_name(tmp_path, model):
    with pytest.raises(RunError, match="none yet"):
        open_vectors("mine", tmp_path)
    save_vectors("mine", model, "", runs_dir=tmp_path)
    with pytest.raises(RunError, match="there are: mine"):
        delete_vectors("yours", tmp_path)


def words(folder, value):
    (folder / "words.json").write_text(json.dumps(value))


def about(folder, **change):
    values = json.loads((folder / "about.json").read_text()) | change
    (folder / "about.json").write_text(json.dumps(values))


BROKEN = {
    "words that are too few": lambda folder: words(folder, ["a"]),
    "words that are none": lambda folder: words(folder, [1, 2, 3]),
    "words that are no list": lambda folder: words(folder, {"a": 1}),
    "no words": lambda folder: (folder / "words.json").unlink(),
    "no vectors": lambda folder: (folder / "vectors.safetensors").unlink(),
    "vectors that are none": lambda folder: (folder / "vectors.safetensors").write_bytes(b"{}" * 99),
    "other vectors": lambda folder: save_file({"input": np.zeros((3, 4))}, folder / "vectors.safetensors"),
    "about that is no object": lambda folder: (folder / "about.json").write_text("[]"),
    "about that is no JSON": lambda folder: (folder / "about.json").write_text("{"),
    "an unknown key": lambda folder: about(folder, more=1),
    "settings that cannot be": lambda folder: about(folder, settings={"size": -1}),
    "another size": lambda folder: about(folder, words=10**12),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_one_sentence(tmp_path, model, kind):
    save_vectors("mine", model, "", runs_dir=tmp_path)
    BROKEN[kind](embeddings_dir(tmp_path) / "mine")
    with pytest.raises(RunError, match="mine"):
        open_vectors("mine", tmp_path)
    own_vectors(tmp_path)
    delete_vectors("mine", tmp_path)
