"""`llm-scratch internals ACTION`: one JSON document that agrees with the functions, or one sentence."""

import csv
import json

import numpy as np
import pytest

from core.analysis.ablation import ablated, compare_ablation, head_importance, token_losses
from core.analysis.attribution import attribute
from core.analysis.lens import lens, stream_norms
from core.analysis.reading import read
from core.run import load
from playground import cli

TEXT = "the cup of the cup <script>コーヒー"
TARGET = "コーヒーを一杯"


@pytest.fixture
def call(capsys, runs):
    """call(*arguments) -> exit code, stdout, stderr."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def answer(call):
    def run(*arguments):
        code, out, err = call("internals", *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def readings(runs):
    """Every small model's reading of the same text."""
    return [
        read(load("tiny-transformer"), TEXT, TARGET), read(load("tiny-gpt"), TEXT), read(load("tiny-llama"), TEXT)
    ]  # fmt: skip


def words(reading):
    """What the command is told so that it reads the same."""
    return [TEXT, "--run", reading.run.name, *(["--target", TARGET] if reading.is_translation else [])]


def same(found, wanted):
    """JSON's numbers against an array; null stands for what is not defined."""
    np.testing.assert_allclose(np.array(found, dtype=float), wanted, rtol=1e-5, atol=1e-6)


def test_the_lens_reads_every_layer(answer, call, readings):
    for reading in readings:
        found, wanted = answer("lens", *words(reading), "--top", 3)["positions"], lens(reading, top=3)
        assert [place["token"] for place in found] == reading.names
        assert [place["final"]["id"] for place in found] == wanted.final.tolist()
        for p, place in enumerate(found):
            layers = place["layers"]
            assert [layer["layer"] for layer in layers] == wanted.layers
            assert [[one["id"] for one in layer["top"]] for layer in layers] == wanted.ids[:, p].tolist()
            same([[one["probability"] for one in layer["top"]] for layer in layers], wanted.probabilities[:, p])
            for name, values in (
                ("entropy", wanted.entropy), ("rank", wanted.final_rank), ("logprob", wanted.final_logprob),
                ("divergence", wanted.divergence), ("written_logprob", wanted.followed_logprob),
            ):  # fmt: skip
                same([layer[name] for layer in layers], values[:, p])
            best = reading.logits([p])[0].softmax(-1).max()
            assert layers[-1]["top"][0]["probability"] == pytest.approx(float(best), abs=1e-5)
        [place] = answer("lens", *words(reading), "--position", 2, "--layers", "0,2,0")["positions"]
        assert (place["position"], place["token"]) == (2, reading.names[2])
        assert [layer["layer"] for layer in place["layers"]] == [0, 2]
        code, out, _ = call("internals", "lens", *words(reading), "--position", 2)
        assert code == 0 and f"after {reading.names[2]} (2)" in out


def test_norms(answer, readings):
    for reading in readings:
        sides = answer("norms", *words(reading))["sides"]
        assert list(sides) == (["encoder", "decoder"] if reading.is_translation else ["decoder"])
        for side, found in sides.items():
            wanted = stream_norms(reading, side)
            same(found["stream"], wanted.stream)
            assert list(found["added"]) == list(wanted.added)
            for part, values in wanted.added.items():
                same(found["added"][part], values)


def test_attribution_sums_to_the_logit(answer, readings):
    for reading in readings:
        for more, asked in (
            ([], {}),
            (["--position", 2, "--token", "#7"], {"position": 2, "token": 7}),
            (["--token", "c", "--versus", "#9"], {"token": reading.run.tokenizer.encode("c").ids[0], "other": 9}),
            (["--versus", "mean"], {"other": "mean"}),
        ):
            found, wanted = answer("attribute", *words(reading), *more), attribute(reading, **asked)
            assert (found["position"], found["token"]["id"]) == (wanted.position, wanted.token)
            same([part["logit"] for part in found["parts"]], [part.value for part in wanted.parts])
            same(found["logit"], wanted.logit)
            assert sum(part["logit"] for part in found["parts"]) == pytest.approx(found["logit"], abs=1e-4)
            heads = [(part["attention"], part["layer"], part["head"]) for part in found["parts"] if part["head"]]
            assert heads == [(p.attention, p.layer + 1, p.head + 1) for p in wanted.parts if p.kind == "head"]


def test_ablation_is_the_comparison(answer, call, readings):
    for reading in readings:
        kind = reading.kinds[0]
        more, heads = ["--heads", "1.2,2.4"], [(kind, 0, 1), (kind, 1, 3)]
        networks = [("decoder", 1)]
        if reading.is_translation:
            more, heads = ["--heads", "1.2,encoder:2.1,self:3.4"], [(kind, 0, 1), ("encoder", 1, 0), ("self", 2, 3)]
            networks.append(("encoder", 0))
        more += ["--mlps", "2,encoder:1" if reading.is_translation else "2"]
        for how in ("zero", "mean"):
            found = answer("ablate", *words(reading), *more, "--how", how)
            wanted = compare_ablation(reading, ablated(reading.model, heads, networks, how, reading))
            same(found["loss_change"], wanted.loss_change)
            assert [token["id"] for token in found["next"]] == wanted.ids
            assert [token["id"] for token in found["tokens"]] == wanted.targets
            for name, outcome in (("before", wanted.before), ("after", wanted.after)):
                assert found[name]["written"] == outcome.written
                same(found[name]["probabilities"], outcome.probabilities)
                same(found[name]["losses"], outcome.losses)
        assert found["off"]["heads"][0] == {"kind": kind, "layer": 1, "head": 2}
        code, out, _ = call("internals", "ablate", *words(reading), *more)
        assert code == 0 and "nats a token" in out


def test_importance_is_every_head_alone(answer, call, readings, tmp_path):
    for reading in readings:
        for kind in reading.kinds:
            found = answer("ablate", *words(reading), "--importance", "--kind", kind)
            same(found["loss_change"], head_importance(reading, kind))
            same(found["loss"], token_losses(reading).mean())
    file = tmp_path / "importance.csv"
    code, out, _ = call("internals", "ablate", *words(reading), "--importance", "--output", file)
    rows = list(csv.DictReader(file.open(encoding="utf-8", newline="")))
    changes = [float(row["loss change"]) for row in rows]
    assert code == 0 and changes == sorted(changes, reverse=True) and len(rows) == 8
    layer, head = (int(rows[0][name]) - 1 for name in ("layer", "head"))
    assert found["loss_change"][layer][head] == pytest.approx(changes[0], rel=1e-5)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["norms", "x", "--run", "nobody"], "There is no run 'nobody'"),
        (["norms", "x", "--run", "tiny-gpt", "--output", "x.txt"], "ends in .csv or .json"),
        (["lens", "x", "--run", "tiny-gpt", "--position", "9"], "There is no position 9: choose one from 0 to 1."),
        (["lens", "x", "--run", "tiny-gpt", "--layers", "0,3"], "There is no layer 3: choose from 0 (the embedding)"),
        (["lens", "x", "--run", "tiny-gpt", "--layers", "a"], "--layers is a list of numbers"),
        (["lens", "x", "--run", "tiny-gpt", "--top", "0"], "--top is from 1"),
        (["attribute", "x", "--run", "tiny-gpt", "--token", "#99999"], "There is no token 99999"),
        (["attribute", "x", "--run", "tiny-gpt", "--token", "two words"], "--token is one token"),
        (["attribute", "x", "--run", "tiny-gpt", "--versus", ""], "--versus is one token"),
        (["ablate", "x", "--run", "tiny-gpt"], "Nothing is switched off"),
        (["ablate", "x", "--run", "tiny-gpt", "--heads", " , ", "--mlps", ","], "Nothing is switched off"),
        (["ablate", "x", "--run", "tiny-gpt", "--heads", "1"], "--heads is a list of LAYER.HEAD"),
        (["ablate", "x", "--run", "tiny-gpt", "--heads", "3.1"], "There is no layer 3"),
        (["ablate", "x", "--run", "tiny-gpt", "--heads", "1.5"], "There is no head 5"),
        (["ablate", "x", "--run", "tiny-gpt", "--heads", "cross:1.1"], "The model has no cross attention"),
        (["ablate", "x", "--run", "tiny-gpt", "--mlps", "encoder:1"], "The model has no encoder"),
        (["ablate", "x", "--run", "tiny-gpt", "--mlps", "x"], "--mlps is a list of layers"),
        (["ablate", "x", "--run", "tiny-gpt", "--importance", "--heads", "1.1"], "leave --heads and --mlps out"),
        (["ablate", "", "--run", "tiny-gpt", "--importance"], "give one of two tokens or more"),
    ],
)
def test_what_cannot_be_is_one_sentence(call, arguments, said):
    code, out, err = call("internals", *arguments)
    assert code == 1 and out == "" and said in err.splitlines()[-1] and "Traceback" not in err
