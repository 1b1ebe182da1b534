"""Pictures of attention: the numbers in them are the numbers that went in."""

import csv
import io
import re
import struct
import zlib
from base64 import b64decode

import numpy as np
import pytest

from core.analysis.attention import AttentionMaps, coverage, entropy, pool
from playground.views import attention as views
from playground.views.image import plotly_scale, png, ramp


def maps(queries: int, keys: int, causal: bool = False, layers: int = 2, heads: int = 3) -> AttentionMaps:
    weights = np.random.default_rng(0).random((layers, heads, queries, keys), dtype=np.float32)
    if causal:
        weights = np.tril(weights)
    weights /= weights.sum(-1, keepdims=True)
    names = [f"q{i}" for i in range(queries)]
    return AttentionMaps(weights, names, [f"k{i}" for i in range(keys)], [*names[1:], "</s>"], causal)


def decode_png(data: bytes) -> np.ndarray:
    """A second, plain reader of the PNGs that we write."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour, len(chunks[b"PLTE"]), len(chunks[b"tRNS"])) == (8, 3, 768, 256)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:]


def test_entropy_has_its_closed_forms():
    for n in (1, 2, 7, 100):
        assert entropy(np.full((3, n), 1 / n)) == pytest.approx(np.log(n))
        assert (entropy(np.eye(n)) == 0).all()
    weights = np.random.default_rng(1).dirichlet(np.ones(9), size=(2, 5))
    plain = [[-sum(p * np.log(p) for p in row) for row in rows] for rows in weights]
    np.testing.assert_allclose(entropy(weights), plain)


def test_coverage_has_its_closed_forms():
    assert coverage(np.eye(5)) == 1 and coverage(np.full((3, 5), 0.2)) == pytest.approx(0.2)
    assert coverage(np.eye(5)[[0, 0, 0]]) == pytest.approx(0.2)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (128, 128), (129, 300), (257, 3)])
def test_pooling_takes_means_of_blocks(shape):
    weights = np.random.default_rng(2).random((2, *shape))
    pooled = pool(weights, 128, 128)
    assert pooled.shape[1] <= 128 and pooled.shape[2] <= 128
    high, wide = -(-shape[0] // 128), -(-shape[1] // 128)
    for i in range(pooled.shape[1]):
        for j in range(pooled.shape[2]):
            block = weights[:, i * high : (i + 1) * high, j * wide : (j + 1) * wide]
            np.testing.assert_allclose(pooled[:, i, j], block.mean(axis=(1, 2)))


def test_a_png_is_what_was_drawn():
    pixels = np.random.default_rng(3).integers(0, 256, (13, 29), dtype=np.uint8)
    assert (decode_png(png(pixels)) == pixels).all()
    assert ramp()[0][3] == 0 and ramp()[-1][3] == 255


def test_a_head_names_itself_its_axes_and_its_range():
    made = maps(5, 4)
    view = views.head_view(made, "cross", 1, 2)
    assert view.title == "Cross-attention · layer 2 of 2 · head 3 of 3"
    assert f"{made.weights[1, 2].max():.3f}" in view.subtitle
    assert view.rows == ["q1 0", "q2 1", "q3 2", "q4 3", "</s> 4"] and view.columns[0] == "k0 0"
    figure = views.heatmap(view)
    assert figure.layout.height >= 340 and figure.layout.xaxis.title.text == view.column_axis
    np.testing.assert_allclose(figure.data[0].z, made.weights[1, 2], atol=1e-7)
    assert figure.layout.yaxis.ticktext[-1] == "&lt;/s&gt;"  # Plotly would take it for markup
    assert figure.data[0].zmax == pytest.approx(made.weights[1, 2].max())


def test_the_causal_triangle_is_blank_and_in_the_csv_empty():
    view = views.head_view(maps(6, 6, causal=True), "self", 0, 0)
    assert (np.isnan(view.values) == (np.tri(6) == 0)).all()
    rows = list(csv.reader(io.StringIO(views.to_csv(view))))
    assert len(rows) == 7 and rows[1][2:] == [""] * 5
    assert [float(value) for value in rows[6][1:]] == pytest.approx(view.values[5], abs=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_long_texts_are_pooled_or_shown_in_parts_and_say_so(causal):
    made = maps(300, 300, causal, layers=1, heads=1)
    whole = views.head_view(made, "self", 0, 0)
    assert whole.values.shape == (100, 100) and "mean of 3 × 3 tokens" in whole.subtitle
    choices = views.parts(made)
    assert len(choices) == (1 + 6 if causal else 1 + 9)
    view = views.head_view(made, "self", 0, 0, "2,1")
    assert view.rows[0] == "q256 256" and view.columns[0] == "k128 128" and view.values.shape == (44, 128)
    np.testing.assert_allclose(view.values, made.weights[0, 0, 256:, 128:256], atol=1e-7)
    assert views.parts(maps(128, 128)) == [("whole text", "whole")]


def test_colours_are_linear_for_short_texts_and_by_square_root_for_long_ones_which_is_said():
    assert "square root" not in views.head_view(maps(40, 40), "encoder", 0, 0).subtitle
    assert "square root" in views.head_view(maps(60, 40), "encoder", 0, 0).subtitle

    def alpha_at(scale, value):
        places, alphas = zip(*((place, float(colour[5:-1].split(",")[3])) for place, colour in scale), strict=True)
        return np.interp(value, places, alphas)

    for value in (0.05, 0.3):
        linear, root = alpha_at(plotly_scale(1.0), value), alpha_at(plotly_scale(0.5), value)
        assert linear == pytest.approx(1.25 * value, abs=0.01) and root == pytest.approx(1.25 * value**0.5, abs=0.01)


def test_the_payload_of_a_long_view_is_small():
    made = maps(512, 512, causal=True, layers=12, heads=12)
    grid = views.head_grid(made, 0, 0)
    figure = views.heatmap(views.head_view(made, "self", 3, 4)).to_json()
    assert len(grid) + len(figure) < 2_000_000


def test_the_grid_has_every_head_once_cut_out_of_one_image():
    made = maps(9, 7)
    html = views.head_grid(made, 1, 0)
    cells = re.findall(r'data-layer="(\d)" data-head="(\d)" aria-pressed="(\w+)"', html)
    assert cells == [(str(i), str(j), "true" if (i, j) == (1, 0) else "false") for i in range(2) for j in range(3)]
    assert html.count("url(data:image/png") == 1
    pixels = decode_png(b64decode(re.search(r"base64,([^)]+)\)", html).group(1)))
    assert pixels.shape == (2 * 9, 3 * 7)
    corner = np.sqrt(made.weights[1, 2])
    assert (pixels[9:, 14:] == np.rint(corner / corner.max() * 255)).all()


def test_tokens_are_escaped_everywhere():
    made = AttentionMaps(np.ones((1, 1, 1, 1), np.float32), ["<b>x</b>"], ["<img src=x>"], [], False)
    view = views.head_view(made, "encoder", 0, 0)
    assert "<img" not in views.numbers(view) + str(views.heatmap(view).to_json())
    assert "Download CSV" in views.numbers(view)


def test_a_large_table_is_cut_and_says_so():
    view = views.head_view(maps(100, 60), "encoder", 0, 0)
    html = views.numbers(view)
    assert "first 48 × 48 of 100 × 60" in html and html.count("<tr>") == 49
    data = b64decode(re.search(r"base64,([^\"]+)\"", html).group(1)).decode("utf-8-sig")
    assert len(data.splitlines()) == 101
