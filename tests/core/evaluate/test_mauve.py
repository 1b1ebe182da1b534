"""MAUVE: what is clustered is each text's own state; the score is the authors' package's, where it is there."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from core import load
from core.errors import DataError
from core.evaluate import mauve

TEXTS = ["the king", "", "a", "コーヒー", "the queen is in the garden. " * 3, "x y z " * 200] * 4


@pytest.fixture(scope="module")
def gpt():
    return load("demo-gpt")


@torch.inference_mode()
def test_states_are_those_of_each_text_alone(gpt, monkeypatch):
    done = []
    for together in (8_192, 40, 1):
        monkeypatch.setattr(mauve, "BATCH_TOKENS", together)
        found = mauve.last_states(gpt, TEXTS, 32, done.append)
        assert found.shape == (len(TEXTS), gpt.config.model.d_model) and found.dtype == np.float32
        assert done[-1] == len(TEXTS)
        for text, state in zip(TEXTS, found):
            ids = gpt.model.prompt_ids(gpt.tokenizer.encode(text).ids)[:32]
            np.testing.assert_allclose(state, gpt.model.hidden(torch.tensor([ids]))[0, -1], atol=1e-5)


def test_what_cannot_be_compared(gpt, monkeypatch):
    monkeypatch.setattr(mauve, "is_installed", lambda: False)
    with pytest.raises(DataError, match="pip install mauve-text"):
        mauve.mauve_score(TEXTS, TEXTS, gpt)
    with pytest.raises(DataError, match="20 texts or more on either side, not 3"):
        mauve.mauve_score(TEXTS, TEXTS[:3], gpt)
    with pytest.raises(DataError, match="translates"):
        mauve.mauve_score(TEXTS, TEXTS, load("demo-transformer"))


def test_whether_it_is_installed(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, there=there: object() if there else None)
        assert mauve.is_installed() is there


def test_what_the_package_is_asked(gpt, monkeypatch):
    """Without the package: what it would get and what becomes of its answer."""

    class Package:
        asked: dict = {}

        @classmethod
        def compute_mauve(cls, **asked):
            cls.asked = asked
            return type("Found", (), {"mauve": 0.5, "frontier_integral": 0.25, "num_buckets": 2})

    monkeypatch.setitem(sys.modules, "mauve", Package)
    monkeypatch.setattr(mauve, "is_installed", lambda: True)
    monkeypatch.setattr(mauve.importlib.metadata, "version", lambda name: "0.4.0")
    references = [text + "!" for text in TEXTS] + ["more"]
    found = mauve.mauve_score(TEXTS, references, gpt, 16, seed=7)
    assert found == mauve.Mauve(
        0.5, 0.25, "texts:24|refs:25|features:demo-gpt|tokens:16|clusters:2|scale:5|seed:7|version:0.4.0"
    )
    np.testing.assert_allclose(Package.asked["p_features"], mauve.last_states(gpt, references, 16), atol=1e-5)
    np.testing.assert_allclose(Package.asked["q_features"], mauve.last_states(gpt, TEXTS, 16), atol=1e-5)
    assert Package.asked["seed"] == 7


@pytest.mark.skipif(not mauve.is_installed(), reason="mauve-text is not installed")
def test_the_score(gpt):
    people = [f"the king number {i} is in the castle" for i in range(40)]
    assert mauve.mauve_score(people, people, gpt).score == pytest.approx(1)
    others = [f"def f{i}(x): return x ** {i}" for i in range(40)]
    found = mauve.mauve_score(others, people, gpt)
    assert found.score < 0.1 and "features:demo-gpt" in found.signature
    assert mauve.mauve_score(others, people, gpt) == found  # the seed decides
