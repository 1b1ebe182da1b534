"""Positions of every kind: tables against the formulas of the papers, similarities against vectors really turned."""

import numpy as np
import pytest
import torch

from core.analysis.positions import (
    by_distance,
    decay_bound,
    positions_of,
    rotary_similarity,
    similarity,
    sinusoidal_frequencies,
)
from core.config import ModelConfig
from core.model import build_model
from core.model.positions import RotaryPositions, rotate


class OfRun:
    """As much of a run as is needed."""

    def __init__(self, **config):
        made = ModelConfig(vocab_size=20, d_model=32, n_heads=2, n_layers=1, d_ff=32, **config)
        self.config = type("Config", (), {"model": build_model(made).config})
        self.model = build_model(made).eval()


@pytest.mark.parametrize("halves", [False, True])
def test_sinusoidal_positions(halves):
    run = OfRun(family="transformer", positions="sinusoidal_halves" if halves else "sinusoidal", max_seq_len=90)
    found = positions_of(run, 64)
    assert found.kind == "sinusoidal" and found.length == 90 and found.table.shape == (64, 32)
    for position in (0, 1, 63):
        for i in range(16):
            angle = position / 10_000 ** (2 * i / 32)
            sin, cos = (i, 16 + i) if halves else (2 * i, 2 * i + 1)
            assert found.table[position, sin] == pytest.approx(np.sin(angle), abs=1e-5)
            assert found.table[position, cos] == pytest.approx(np.cos(angle), abs=1e-5)
    np.testing.assert_allclose(found.frequencies, sinusoidal_frequencies(32))
    assert found.wavelengths[0] == pytest.approx(2 * np.pi)
    alike = similarity(found)
    expected = rotary_similarity(found.frequencies, np.arange(64))  # a function of the distance alone
    for m in range(64):
        np.testing.assert_allclose(alike[m], expected[np.abs(m - np.arange(64))], atol=1e-5)


def test_learned_positions():
    run = OfRun(family="gpt", max_seq_len=16)
    found = positions_of(run, 10)
    np.testing.assert_array_equal(found.table, run.model.positions.weight.detach().numpy()[:10])
    assert found.kind == "learned" and found.wavelengths is None
    alike = similarity(found)
    a, b = found.table[2].astype(float), found.table[7].astype(float)
    assert alike[2, 7] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-5)
    pairs = [alike[m, m + 3] for m in range(7)]
    assert by_distance(found)[3] == pytest.approx(np.mean(pairs), abs=1e-5)
    assert similarity(found, 4).shape == (4, 4)


@pytest.mark.parametrize("scaling", [(), (8.0, 1.0, 4.0, 64.0)])
def test_rotary_frequencies_are_those_the_model_turns_by(scaling):
    run = OfRun(family="llama", max_seq_len=128, rope_scaling=scaling)
    found = positions_of(run, 50)
    assert found.kind == "rotary" and found.table.shape == (50, 8)
    if not scaling:
        np.testing.assert_allclose(found.frequencies, 10_000.0 ** (-np.arange(0, 16, 2) / 16), rtol=1e-4)
    else:
        assert found.frequencies[-1] < 10_000.0 ** (-14 / 16) / 2
    np.testing.assert_allclose(found.table[7], np.cos(7 * found.frequencies), atol=1e-4)
    # One vector, turned for two places by the model itself: its dot product, pair by pair.
    q = torch.randn(1, 1, 1, 16)
    turned = [rotate(q, run.model.rotary(torch.tensor([place])))[0, 0, 0].numpy() for place in (40, 13)]
    sizes = q[0, 0, 0].numpy() ** 2
    expected = ((sizes[:8] + sizes[8:]) * np.cos(27 * found.frequencies)).sum()
    assert turned[0] @ turned[1] == pytest.approx(expected, abs=1e-3)


def test_rotary_similarity_is_what_random_vectors_keep():
    rotary = RotaryPositions(64, 32, 10_000.0)
    frequencies = 10_000.0 ** (-np.arange(0, 32, 2) / 32)
    torch.manual_seed(0)
    q = torch.randn(1, 1, 20_000, 32)
    q = q / q.norm(dim=-1, keepdim=True)
    still = rotate(q, rotary(torch.tensor([0])))
    for distance in (0, 1, 5, 33, 63):
        kept = float((rotate(q, rotary(torch.tensor([distance]))) * still).sum(-1).mean())
        assert kept == pytest.approx(rotary_similarity(frequencies, np.array([distance]))[0], abs=0.01)


def test_the_bound_holds_and_is_that_of_the_sums():
    frequencies = 10_000.0 ** (-np.arange(0, 16, 2) / 16)
    distances = np.array([0, 1, 10, 100])
    found = decay_bound(frequencies, distances)
    assert found[0] == pytest.approx(1)
    for distance, value in zip(distances, found):
        total, sums = 0j, []
        for frequency in frequencies:
            total += np.exp(1j * distance * frequency)
            sums.append(abs(total))
        assert value == pytest.approx(np.mean(sums) / 4.5)
    # RoFormer: |Σ h_i e^{i d θ_i}| ≤ max |h_{i+1} − h_i| Σ |S_i|, with a last h that is 0.
    random = np.random.default_rng(0)
    for _ in range(50):
        h = random.standard_normal(8)
        steps = np.abs(np.diff(np.append(h, 0))).max()
        for distance, bound in zip(distances, found):
            assert abs((h * np.exp(1j * distance * frequencies)).sum()) <= steps * bound * 8 * 4.5 + 1e-9


@pytest.mark.parametrize("family", ["transformer", "gpt", "llama"])
def test_one_position_is_enough(family):
    found = positions_of(OfRun(family=family, max_seq_len=2), 1)
    assert len(found.table) == 1 and similarity(found).shape == (1, 1) and by_distance(found)[0] == pytest.approx(1)
