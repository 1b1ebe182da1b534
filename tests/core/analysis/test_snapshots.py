"""Runs through their training: snapshots found, opened, and looked at; equal to readings with the same weights."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from core.analysis.alignment import alignment_scores
from core.analysis.head_scores import SCORES, head_scores, induction_on_repeats
from core.analysis.reading import read
from core.analysis.snapshots import CELLS, Snapshot, snapshot_model, snapshots, spread, through_training
from core.analysis.survey import pool
from core.config import RunConfig
from core.data.grammar import generate
from core.errors import RunError, TextError, UserError
from core.files import write_text
from core.model import build_model
from core.run import create_run, load, save_model
from core.tokenizer import train_bpe

EXAMPLES = generate(5, seed=2)
STEPS = (3, 20, 100)
TEXT = "The cat sat. The cat sat."
FAMILIES = {"gpt": "self", "llama": "self", "transformer": "cross"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of each family with three snapshots of other weights."""
    folder = tmp_path_factory.mktemp("runs")
    tokenizer = train_bpe([text for example in EXAMPLES for text in example[:2]], 300)
    for family in FAMILIES:
        shape = {"d_model": 16, "n_layers": 2, "n_heads": 4, "d_ff": 32, "max_seq_len": 100}
        if family == "llama":
            shape["n_kv_heads"] = 2
        if family == "transformer":
            shape["n_encoder_layers"] = 1
        config = RunConfig.from_dict(
            {
                "model": {"family": family, "vocab_size": tokenizer.vocab_size, **shape},
                "decode": {"strategy": "greedy", "max_new_tokens": 9},
            }
        )
        directory = create_run(config, family, folder)
        write_text(directory / "tokenizer.json", tokenizer.to_json())
        (directory / "snapshots").mkdir()
        for step in STEPS:
            torch.manual_seed(step)
            model = build_model(config.model)
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.dim() == 2:
                        parameter.normal_(std=0.4)
            save_model(model, directory / f"snapshots/step-{step:06d}.safetensors", half=True)
        save_model(model, directory / "model.safetensors")
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_each_step_is_a_reading_with_its_weights(folder, family):
    run, kind = load(family, folder), FAMILIES[family]
    steps = list(through_training(run, TEXT, kind, examples=EXAMPLES if family == "transformer" else ()))
    assert [step.step for step in steps] == list(STEPS)
    target = read(run, TEXT).target if run.is_translation else None
    for step in steps:
        model = snapshot_model(run, step.step)
        reading = read(run, TEXT, target, model)
        for layer in range(2):
            attention = reading.layer_attention(kind, layer)
            np.testing.assert_allclose(step.maps[layer], attention, atol=6e-4)  # float16
            plain = head_scores(attention, kind, reading.query_ids(kind), reading.key_ids(kind))
            assert set(step.scores) == set(plain) == {name for name in SCORES if kind in SCORES[name].kinds}
            for name, values in plain.items():
                np.testing.assert_allclose(step.scores[name][layer], values, rtol=1e-5)
        if run.is_translation:
            assert step.induction is None
            np.testing.assert_array_equal(step.alignment.by_head, alignment_scores(run, EXAMPLES, model).by_head)
        else:
            assert step.alignment is None
            np.testing.assert_array_equal(step.induction, induction_on_repeats(run, model))
        assert step.nbytes > 0
    assert not np.array_equal(steps[0].maps, steps[1].maps)


def test_snapshot_weights_are_those_that_were_saved(folder):
    run = load("gpt", folder)
    last, own = snapshot_model(run, 100).state_dict(), run.model.state_dict()
    assert all(torch.equal(last[name], own[name].half().float()) for name in own)
    with pytest.raises(RunError, match=r"no snapshot of step 4; there are: 3, 20, 100\.$"):
        snapshot_model(run, 4)


def test_all_steps_of_a_translator_read_the_same_target(folder):
    run = load("transformer", folder)
    own = read(run, TEXT).target
    shapes = {step.maps.shape for step in through_training(run, TEXT, "self")}
    assert shapes == {(2, 4, len(read(run, TEXT, own).ids), len(read(run, TEXT, own).ids))}
    typed = next(through_training(run, TEXT, "self", target="東京"))
    assert typed.maps.shape[-1] == len(read(run, TEXT, "東京").ids)
    encoder = next(through_training(run, TEXT, "encoder"))
    assert encoder.maps.shape[0] == 1  # of unequal depth


def test_a_run_that_trains_has_no_weights_of_its_own_yet(folder, tmp_path):
    run = load("transformer", folder)
    (tmp_path / "snapshots").symlink_to(run.directory / "snapshots")
    young = dataclasses.replace(run, directory=tmp_path)
    steps = list(through_training(young, TEXT, "cross"))
    expected = list(through_training(run, TEXT, "cross", target=read(run, TEXT, model=snapshot_model(run, 100)).target))
    assert [s.step for s in steps] == [3, 20, 100]
    np.testing.assert_array_equal(steps[2].maps, expected[2].maps)


def test_long_texts_are_pooled_to_a_bounded_size(folder):
    run = load("gpt", folder)
    text = "It is a word. " * 200
    step = next(through_training(run, text, "self"))
    assert step.maps.shape == (2, 4, 50, 50) and step.maps.nbytes <= 2 * 4 * CELLS**2 * 2
    reading = read(run, text, model=snapshot_model(run, 3))
    np.testing.assert_allclose(step.maps[1], pool(reading.layer_attention("self", 1), CELLS, CELLS), atol=6e-4)


def test_only_snapshots_are_found(tmp_path):
    assert snapshots(tmp_path) == []
    folder = tmp_path / "snapshots"
    folder.mkdir()
    names = ["step-000100.safetensors", "step-7.safetensors", "step-1000000.safetensors", "step-x.safetensors",
             "step-000005.safetensors.tmp", "step--1.safetensors", "step-1e3.safetensors", "notes.txt"]  # fmt: skip
    for name in names:
        (folder / name).touch()
    (folder / "step-000009.safetensors").mkdir()
    assert [found.step for found in snapshots(tmp_path)] == [7, 100, 1_000_000]


def test_of_many_snapshots_some_are_looked_at(folder):
    found = [Snapshot(step, None) for step in range(100)]
    some = [snapshot.step for snapshot in spread(found, 12)]
    assert some == sorted(set(some)) and len(some) == 12 and (some[0], some[-1]) == (0, 99)
    assert spread(found[:12], 12) == found[:12] and spread([], 12) == []
    assert [s.step for s in through_training(load("gpt", folder), TEXT, "self", most=2)] == [3, 100]


def test_what_cannot_be_watched_is_said(folder, tmp_path):
    run = load("gpt", folder)
    bare = dataclasses.replace(run, directory=tmp_path)
    with pytest.raises(RunError, match="kept no snapshots"):
        next(through_training(bare, TEXT, "self"))
    for kind in ("cross", "", "x" * 400):
        with pytest.raises(RunError, match="no attention of the kind"):
            next(through_training(run, TEXT, kind))
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "step-000001.safetensors").write_bytes(b"\x00" * 50)
    with pytest.raises(RunError, match="is broken"):
        next(through_training(bare, TEXT, "self"))
    other = load("llama", folder)
    with pytest.raises(RunError, match="does not fit"):
        next(through_training(dataclasses.replace(run, directory=other.directory), TEXT, "self"))
    with pytest.raises(TextError):
        next(through_training(load("transformer", folder), "  ", "cross"))
    with pytest.raises(UserError):
        next(through_training(run, TEXT, "self", examples=EXAMPLES))


def test_it_can_be_stopped_between_steps(folder):
    watched = through_training(load("gpt", folder), TEXT, "self")
    assert [step.step for step in itertools.islice(watched, 1)] == [3]
    watched.close()
