"""The Embeddings tab on small models: what the parts show is what core computes, whatever they are called with."""

import json
import threading
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from core import load
from core.analysis.embeddings import analogy, model_vectors, neighbours
from core.analysis.maps import pca
from core.analysis.own_vectors import open_vectors, own_vectors
from core.analysis.positions import positions_of, similarity
from playground import vectors
from playground.header import build_header
from playground.site import OWN, PUBLIC, STUDIO, on
from playground.tabs import embeddings as tab
from playground.tabs.embeddings import map as map_part
from playground.tabs.embeddings import positions, word2vec
from playground.vectors import INPUT, OUTPUT, Work
from tests.playground.views.test_attention_views import unpacked

TEXT = "I'd like a cup of coffee."
GPT = Work("tiny-gpt", TEXT)
CORPUS = "the cat sat on the mat\n\nthe dog sat on the rug\n\n" * 40


class Page:
    """As much of a gr.Request as a handler asks for."""

    def __init__(self, session_hash="one"):
        self.session_hash = session_hash


@pytest.fixture
def own_runs(small_runs, monkeypatch, tmp_path):
    """The small runs, in a runs directory where vectors can be kept."""
    folder = tmp_path / "runs"
    folder.mkdir()
    for run in small_runs.iterdir():
        if not run.name.startswith("."):
            (folder / run.name).symlink_to(run)
    monkeypatch.setenv("RUNS_DIR", str(folder))
    return folder


@pytest.fixture(scope="module")
def built(small_runs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(small_runs))
        with gr.Blocks():
            header = build_header()
            made = tab.build()
            tab.wire(made, header)
    return made


def look(**more):
    form = {"method": "pca", "dimensions": 2, "points": 100, "only_words": False, "token": "#300", "metric": "cosine"}
    return list((form | more).values())


def picked(data):
    return SimpleNamespace(_data=data)


CORPUS_WORK = Work("tiny-gpt", CORPUS)


def train(work=CORPUS_WORK, page=None, **more):
    form = {
        "source": "text", "file": None, "builtin": "builtin:enja", "units": "words", "size": 8, "window": 3,
        "negative": 2, "epochs": 2, "min_count": 3, "name": "mine",
    }  # fmt: skip
    return list(word2vec.start_vectors(work, *(form | more).values(), page or Page()))


# ------------------------------------------------------------------------------------------------------------ the map


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_map_is_the_principal_components_of_the_vectors(own_runs, dimensions):
    of = model_vectors(load("tiny-gpt"))
    _, message, figure, near_message, near = map_part.draw_map(GPT, *look(dimensions=dimensions))
    figure = json.loads(figure)
    text = load("tiny-gpt").tokenizer.encode(TEXT).ids
    base = [*dict.fromkeys(text)]
    base += [id for id in range(400) if id not in base][: 100 - len(base)]
    assert figure["ids"][:100] == base and message == near_message == ""
    expected = pca(of.matrix[base], dimensions)
    np.testing.assert_allclose(unpacked(figure["points"])[:100], expected.points, atol=1e-5)
    found = neighbours(of, 300, map_part.NEAREST)
    assert figure["ids"][figure["chosen"]] == 300
    assert {figure["ids"][i] for i in figure["near"]} == {n.id for n in found}
    assert json.loads(near)["rows"] == [n.name for n in found]
    assert {figure["ids"][i] for i in figure["in_text"]} == set(text)


def test_without_a_token_it_is_the_first_word_of_the_text(own_runs):
    figure = json.loads(map_part.draw_map(Work("tiny-gpt", ". ROMEO"), *look(token=""))[2])
    name = figure["names"][figure["chosen"]]
    assert any(letter.isalpha() for letter in name)
    figure = json.loads(map_part.draw_map(Work("tiny-gpt", ""), *look(token=""))[2])
    assert figure["chosen"] >= 0 and figure["in_text"] == []


def test_a_token_that_is_none_is_a_sentence_and_the_map_stays(own_runs):
    _, message, figure, near_message, near = map_part.draw_map(GPT, *look(token="<b>nonsense"))
    assert message == "" and json.loads(figure)["chosen"] == -1 and near == ""
    assert "not one token" in near_message and "<b>" not in near_message


@pytest.mark.parametrize("data", [{"id": 7}, {"row": 7}])
def test_a_point_or_a_bar_is_chosen(own_runs, data):
    token, *values = map_part.pick_token(GPT, *look(), picked(data))
    figure = json.loads(values[2])
    assert figure["ids"][figure["chosen"]] == 7
    assert json.loads(map_part.draw_map(GPT, *look(token=token))[2]) == figure


@pytest.mark.parametrize(
    "data", [{"id": 10**9}, {"id": -1}, {"id": True}, {"id": "7"}, {"id": 7.0}, {"row": None}, {}, None, [1]]
)
def test_what_is_no_token_is_not_chosen(own_runs, data):
    assert map_part.pick_token(GPT, *look(), picked(data)) == [gr.skip()] * 6


@pytest.mark.parametrize("how", ["add", "mul"])
def test_analogies(own_runs, how):
    message, figure = map_part.solve(GPT, "#40", "#41", "#42", how)
    found = analogy(model_vectors(load("tiny-gpt")), 40, 41, 42, map_part.NEAREST, how)
    assert message == "" and json.loads(figure)["rows"] == [n.name for n in found]


@pytest.mark.parametrize(
    ("asked", "told"),
    [(("", "", "", "add"), None), (("a", "", "", "add"), "takes three"), (("a", "b", "qqqq", "add"), "not one token"),
     (("a", "b", "c", "x"), "from the list"), ((None, None, None, None), None), ((["a"], "b", "c", "add"), "three")],
)  # fmt: skip
def test_analogies_that_cannot_be(own_runs, asked, told):
    message, figure = map_part.solve(GPT, *asked)
    assert figure == "" and (told in message if told else message == "")


def test_tsne_is_asked_for_shown_as_it_goes_and_kept(own_runs, monkeypatch):
    monkeypatch.setattr(map_part, "STEPS", 40)
    form = look(method="tsne")
    button, message, figure, *_ = map_part.draw_map(GPT, *form)
    assert button["visible"] if isinstance(button, dict) else button.visible
    assert "not computed yet" in message and "principal" in json.loads(figure)["subtitle"]
    told = list(map_part.compute_map(GPT, *form, Page()))
    assert "notice-busy" in told[0][0] and told[-1][0] == ""
    _, message, figure, *_ = map_part.draw_map(GPT, *form)
    assert message == "" and json.loads(figure) == json.loads(told[-1][1]) and "40 steps" in figure
    assert json.loads(figure)["ids"] == json.loads(told[-1][1])["ids"] and len(json.loads(figure)["ids"]) == 100
    assert "not computed yet" in map_part.draw_map(GPT, *look(method="tsne", dimensions=3))[1]


def test_tsne_is_stopped_by_its_page_and_goes_with_it(own_runs, monkeypatch):
    monkeypatch.setattr(map_part, "EVERY", 0.0)
    before = threading.active_count()
    stream = map_part.compute_map(GPT, *look(points=300), Page())
    for _ in range(3):
        next(stream)
    map_part.stop_map(Page("another"))
    next(stream)
    map_part.stop_map(Page())
    *_, last = stream
    assert "Stopped after" in last[0] and last[2].visible
    stream = map_part.compute_map(GPT, *look(points=300), Page())
    next(stream), next(stream)
    stream.close()
    assert threading.active_count() == before


WRONG = [
    {"method": "x"}, {"dimensions": 4}, {"dimensions": None}, {"points": 10**9}, {"points": "all"}, {"metric": "x"},
    {"metric": None}, {"method": ["pca"]}, {"points": None},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_choice_is_a_sentence(own_runs, wrong):
    _, message, figure, *_ = map_part.draw_map(GPT, *look(**wrong))
    assert "notice-error" in message and figure == ""
    if "method" not in wrong:
        *_, last = map_part.compute_map(GPT, *look(**wrong), Page())
        assert "notice-error" in last[0] and last[2].visible


# ------------------------------------------------------------------------------------------------------------- vectors


def test_output_embeddings_of_a_tied_model_are_its_input(own_runs):
    for name in ("tiny-transformer", "tiny-gpt", "tiny-llama"):
        run, work = load(name), Work(name, TEXT, OUTPUT)
        found = vectors.vectors_of(work)
        tied = run.model.output is None
        weight = run.model.token_embedding.weight if tied else run.model.output.weight
        np.testing.assert_array_equal(found.matrix, weight.detach().numpy())
        assert vectors.is_tied(work) == tied


@pytest.mark.parametrize("source", ["own:none", "own:../../etc", "own:", "nonsense", "", "own:a/b"])
def test_vectors_that_there_are_not(own_runs, source):
    work = Work("tiny-gpt", TEXT, source)
    _, message, figure, *_ = map_part.draw_map(work, *look())
    assert "notice-error" in message and figure == "" and vectors.stamp(work) is None


def test_no_model_is_a_sentence_everywhere(no_runs):
    work = Work("", "text")
    assert "No model" in map_part.show(work, *look(), "a", "b", "c", "add")[1]
    assert "No model" in positions.show(work, 64)[0]
    assert "None yet" in word2vec.show(work)[0]


# ------------------------------------------------------------------------------------------------------------ word2vec


def test_word_vectors_are_trained_chosen_and_deleted(own_runs):
    *_, last = train()
    assert "vectors for 7 words" in last[0] and last[4][0] == "mine" and last[5] == "mine-2"
    assert json.loads(last[1])["kind"] == "curves" and last[2]["visible"] and not last[3]["visible"]
    table, which = word2vec.list_vectors(last[4])
    assert "mine" in table and which["value"] == "mine"
    assert tab.choose_vectors(last[4], INPUT)["value"] == "own:mine"
    work = Work("tiny-gpt", "The cat.", "own:mine")
    figure = json.loads(map_part.draw_map(work, *look(token="dog", only_words=True))[2])
    assert figure["names"][figure["chosen"]] == "dog" and len(figure["names"]) == 7
    assert {figure["names"][i] for i in figure["in_text"]} == {"the", "cat"}
    message, ask, question, asked = word2vec.ask_about_vectors("mine")
    assert message == "" and ask["visible"] and "mine" in question
    assert "again" in word2vec.delete_own_vectors("mine", "")[0] and len(own_vectors()) == 1
    message, *_, changed = word2vec.delete_own_vectors("mine", asked)
    assert "deleted" in message and own_vectors() == []
    assert tab.choose_vectors(changed, "own:mine")["value"] == INPUT and "value" not in tab.choose_vectors(
        changed, INPUT
    )


def test_tokens_of_the_model_and_files(own_runs, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(CORPUS)
    *_, last = train(source="file", file=str(path), units="tokens")
    tokenizer = load("tiny-gpt").tokenizer
    words = open_vectors("mine").words
    assert "text.txt" in last[0] and "·the" not in words and len(words) < len(set(tokenizer.encode(CORPUS).ids)) + 1
    ids = vectors.text_ids(Work("tiny-gpt", "dog", "own:mine"), vectors.vectors_of(Work("tiny-gpt", "", "own:mine")))
    assert ids


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"name": "../x"}, "cannot be a name"), ({"name": " "}, "a name first"), ({"size": None}, "size is empty"),
        ({"size": 10**9}, "size must be"), ({"window": 0}, "window must be"), ({"epochs": -1}, "epochs must be"),
        ({"min_count": 10**5}, "give more text"), ({"source": "file"}, "Upload"),
        ({"negative": float("1e300")}, "negative"),
        ({"source": "file", "file": "/etc/passwd"}, "Upload"),
        ({"source": "builtin", "builtin": "org/name"}, "of the list"),
        ({"units": "x"}, "Choose a model"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_is_one_sentence(own_runs, more, told):
    *_, last = train(**more)
    assert "notice-error" in last[0] and told in last[0], last[0]
    assert own_vectors() == [] and last[2]["visible"] and not last[3]["visible"]


def test_an_empty_text_and_a_taken_name_are_said(own_runs):
    assert "The text is empty" in train(Work("tiny-gpt", " "))[-1][0]
    train()
    assert "already" in train()[-1][0]


def test_stopped_nothing_is_kept(own_runs, monkeypatch):
    monkeypatch.setattr("core.analysis.word2vec.TICK", 0.0)
    monkeypatch.setattr(word2vec, "EVERY", 0.0)
    form = ["text", None, "", "words", 8, 3, 2, 1000, 3, "mine"]
    stream = word2vec.start_vectors(Work("tiny-gpt", CORPUS), *form, Page())
    for _ in range(4):
        next(stream)
    word2vec.stop_vectors(Page())
    *_, last = stream
    assert "nothing was kept" in last[0] and own_vectors() == []
    monkeypatch.setattr(word2vec, "LIMIT", 0.0)
    assert "longer than" in train(epochs=100)[-1][0] and own_vectors() == []


@pytest.mark.parametrize("name", ["../../etc", "/etc", "none", "", None, ".."])
def test_no_name_points_elsewhere(own_runs, name):
    assert "notice-error" in word2vec.ask_about_vectors(name)[0]
    assert "notice-error" in word2vec.delete_own_vectors(name, name or "x")[0]


# ----------------------------------------------------------------------------------------------------------- positions


@pytest.mark.parametrize("name", ["tiny-transformer", "tiny-gpt", "tiny-llama"])
def test_positions_are_drawn(own_runs, name):
    message, table, alike, apart = positions.show(Work(name, TEXT), 32)
    found = positions_of(load(name), 32)
    assert message == ""
    np.testing.assert_array_equal(unpacked(json.loads(table)["values"]), found.table)
    np.testing.assert_allclose(unpacked(json.loads(alike)["values"]), similarity(found), atol=1e-6)
    assert len(json.loads(apart)["lines"]) == (2 if found.kind == "rotary" else 1)


@pytest.mark.parametrize("length", [0, 10**9, None, "64", [1]])
def test_a_length_that_is_no_choice_is_a_sentence(own_runs, length):
    assert "from the list" in positions.show(Work("tiny-gpt", TEXT), length)[0]


# -------------------------------------------------------------------------------------------------------- the whole tab


def test_the_open_part_is_drawn_once_and_only_while_the_tab_is_open(own_runs, built):
    inputs = [component.value for component in built.inputs]
    settled = ("tiny-gpt", TEXT)
    skipped = built.refresh("Attention", settled, INPUT, "Map", {}, *inputs)
    assert all(value == gr.skip() for value in skipped)
    message, work, drawn, *views = built.refresh("Embeddings", settled, OUTPUT, "Map", {}, *inputs)
    assert "same vectors" in message and work == Work(*settled, OUTPUT) and len(views) == len(built.views)
    figures = [value for value in views if isinstance(value, str) and value.startswith("{")]
    assert [json.loads(figure)["kind"] for figure in figures] == ["map", "bars"]
    again = built.refresh("Embeddings", settled, OUTPUT, "Map", drawn, *inputs)
    assert all(value == gr.skip() for value in again)
    _, _, _, *views = built.refresh("Embeddings", settled, INPUT, "Positions", drawn, *inputs)
    figures = [json.loads(value)["kind"] for value in views if isinstance(value, str) and value.startswith("{")]
    assert figures == ["heatmap", "heatmap", "curves"]
    for source in (INPUT, OUTPUT):
        values = built.refresh("Embeddings", ("no-such", TEXT), source, "Map", {}, *inputs)
        assert values[0] == "" and "notice-error" in values[4]


@pytest.mark.parametrize("site", [PUBLIC, STUDIO])
def test_hosted_pages_train_and_keep_nothing(own_runs, site):
    train()
    with on(site):
        assert [value for _, value in vectors.choices(site)] == [INPUT, OUTPUT]
        assert "run it yourself" in map_part.draw_map(Work("tiny-gpt", TEXT, "own:mine"), *look())[1]
        assert "notice-error" in map_part.draw_map(GPT, *look(points=3_000))[1]
        assert "run it yourself" in train(name="other")[-1][0]
        assert "run it yourself" in word2vec.ask_about_vectors("mine")[0]
        assert "run it yourself" in word2vec.delete_own_vectors("mine", "mine")[0]
        assert "None yet" in word2vec.show(GPT)[0]
        with gr.Blocks() as demo:
            header = build_header(site)
            tab.wire(tab.build(site), header)
        names = {event.api_name for event in demo.fns.values()}
        assert not names & {"start_vectors", "delete_own_vectors", "list_vectors"}
    with on(OWN):
        assert [about.name for about in own_vectors()] == ["mine"]
