"""Tables: what differs between runs, the list of runs, what the data hold."""

import re
from dataclasses import replace

from core.data.preview import Example, Finding, Lengths, Part, Preview
from core.presets import preset
from playground.figures import figures_of
from playground.views.training_compare import compare_html, differing
from playground.views.training_preview import preview_html
from playground.views.training_runs import RunRow, runs_html

A = preset("demo").to_dict()
B = (
    preset("demo")
    .with_overrides(["optim.learning_rate=0.5", "data.src=/home/me/x.en", "data.tgt=/home/me/x.ja"])
    .to_dict()
)
GOOD = figures_of([{"step": 3, "val_loss": 1.5, "bleu": 20.0}, {"step": 9, "val_loss": 1.75, "bleu": 22.0}])
BAD = figures_of([{"step": 3, "val_loss": 2.5, "bleu": 10.0, "seconds": 61.0}])


def cells(html):
    return [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", html)
    ]


def test_only_what_differs_is_listed():
    assert [key for key, _ in differing([A, B])] == ["data.src", "data.tgt", "optim.learning_rate"]
    assert differing([A, A]) == [] and dict(differing([A, {}]))["model.d_model"] == [128, None]


def test_runs_side_by_side():
    html = compare_html(["good", "<bad>"], [A, A], [GOOD, BAD], [("parameters", ["1 M", "1 M"])])
    rows = {row[0]: row[1:] for row in cells(html)}
    assert rows["best validation loss"] == ["1.5000 at step 3", "2.5000 at step 3"]
    assert rows["best BLEU"] == ["22.00 at step 9", "10.00 at step 3"] and rows["trained for"] == ["–", "1 min 1 s"]
    assert rows["parameters"] == ["1 M", "1 M"] and "&lt;bad&gt;" in html and "configurations are the same" in html
    assert html.count("class=best") == 3 and "do not compare" not in html
    assert compare_html(["one"], [A], [GOOD]) == ""


def test_losses_of_other_data_are_no_match():
    html = compare_html(["a", "b"], [A, B], [GOOD, BAD])
    assert "do not compare" in html and html.count("class=best") == 1  # BLEU
    rows = {row[0]: row[1:] for row in cells(html)}
    assert rows["data.src"] == ["none", "x.en"] and rows["optim.learning_rate"] == ["0.003", "0.5"]
    assert "/home/" not in html


def test_the_list_of_runs():
    rows = [
        RunRow('<i>"x"', "running", "gpt", 10, 300, 1.5, "BLEU 3.0", 1000.0, "<script>"),
        RunRow("old", "failed", "llama", problem="The training process is gone."),
        RunRow("odd", "<b>", "<u>"),
    ]
    html = runs_html(rows, "old", now=1000.0 + 7200)
    assert "<i>" not in html and "<script>" not in html and "<b>" not in html and "<u>" not in html
    first, second, _ = cells(html)[1:]
    assert first[1:7] == ["training", "GPT", "10 of 300", "1.500", "BLEU 3.0", "2 h ago"]
    assert second[1] == "failed" and second[7] == "The training process is gone."
    assert re.search(r"aria-current=true[^>]*>.*?>old<", html)
    assert "no runs yet" in runs_html([], None)


PREVIEW = Preview(
    kind="pairs",
    description="pairs.csv: <b>100</b> pairs",
    train=Part(90, 12_345, 40_000), val=Part(10, 1_000, 4_000), test=Part(0, 0, 0),
    examples=(Example("first", "<script>alert(1)</script>", "やあ", 3, 2), Example("random", "b", "", 1, 0)),
    lengths=(Lengths("source", "tokens", 1, 5, 9, 12, 5.5, (1, 5, 9, 12), (60, 25, 5)),),
    characters_per_token=(("source", 3.25),),
    findings=(Finding("empty on one side", 4, 0.04, True), Finding("<i>", 7, 0.07, False, estimated=True)),
    documents=12, vocabulary=500, context=10, tokens_per_step=2_000, steps_per_epoch=6.2, epochs=40.0, seconds=2.0,
)  # fmt: skip


def test_a_look_at_the_data():
    html = preview_html(PREVIEW)
    for part in ("90 pairs", "12.3 k tokens", "documents", "500 tokens", "3.25", "6.2 steps", "40.0 epochs", "left out",
                 "about 7", "4.0%", "the context holds 10", "5 to 8: 25", "Looked at in 2 s"):  # fmt: skip
        assert part in html, part
    assert "<script>" not in html and "<b>100" not in html and "<i>" not in html
    heights = [float(h) for h in re.findall(r'<rect [^>]*height="([\d.]+)"', html)]
    assert len(heights) == 3 and heights[0] == 64 and heights[1] == round(64 * 25 / 60, 1)


def test_a_look_at_a_stream_and_at_nothing():
    stream = replace(PREVIEW, streaming=True, sampled=50, steps_per_epoch=0.0, epochs=0.0, findings=(), kind="text")
    html = preview_html(stream)
    assert (
        "beginning was read" in html and "50 examples" in html and "epoch" not in html and "Nothing is left out" in html
    )
    nothing = replace(PREVIEW, lengths=(Lengths("text", "tokens", 0, 0, 0, 0, 0.0, (), ()),), examples=())
    assert "<rect" not in preview_html(nothing)
