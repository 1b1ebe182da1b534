"""The Training tab: the form as a configuration, uploads, starting, following."""

import json
from pathlib import Path

import gradio as gr
import pytest

from core.errors import ConfigError, DataError, UserError
from core.files import append_jsonl, write_json
from core.presets import PRESETS, preset
from core.run import Status, create_run, find_run, list_runs
from playground import training_form
from playground.jobs import LocalBackend
from playground.tabs import training
from playground.training_form import Form, configuration, keep_upload, usual_data


@pytest.fixture
def started(monkeypatch):
    """What would have been started."""
    names = []
    monkeypatch.setattr(LocalBackend, "_start", lambda self, directory, *options: names.append(directory.name))
    return names


def upload(tmp_path, name, data) -> str:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


# ------------------------------------------------------------------------------------------------------- form


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_a_run_on_built_in_or_hub_data(name):
    hub = preset(name).data
    kind = usual_data(name)
    form = Form(
        name, data=kind, hub_name=hub.name if kind == "hub" else "", hub_configuration=hub.configuration,
        src_column=hub.src_column, tgt_column=hub.tgt_column, text_column=hub.text_column,
    )  # fmt: skip
    config = configuration(form)
    assert config.preset == name and config.train.max_steps == preset(name).train.max_steps
    if kind == "hub":
        assert config.data == hub
    else:
        assert config.data.name == ("builtin:enja" if config.model.family == "transformer" else "builtin:pydocs")
        assert not config.data.pretokenized


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_sizes_fit_every_family(name, size):
    config = configuration(Form(name, size), keep=False)
    assert (config.model.d_model, config.model.n_layers) == training_form.SIZES[size]
    assert config.model.d_model % config.model.n_heads == 0


@pytest.mark.parametrize("width", [16, 17, 34, 96, 100, 2048])
def test_own_sizes(width):
    if width == 17:
        with pytest.raises(ConfigError, match="must be even"):
            configuration(Form("llama-pydocs", "own", d_model=width, n_layers=3))
        return
    config = configuration(Form("llama-pydocs", "own", d_model=width, n_layers=3))
    assert (config.model.d_model, config.model.n_layers) == (width, 3)


def test_a_short_run_still_shows_how_it_goes():
    config = configuration(Form("transformer-enja", steps=30))
    assert config.train.max_steps == 30 and config.train.val_every == 5 == config.train.sample_every
    assert config.optim.warmup_steps <= 6 and config.train.log_every == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"steps": 0}, "Steps must be"), ({"steps": 2.5}, "Steps must be"), ({"steps": 1e9}, "Steps must be"),
        ({"learning_rate": 0}, "learning rate"), ({"learning_rate": -1}, "learning rate"),
        ({"seed": -3}, "seed must be"), ({"size": "own", "d_model": None, "n_layers": 2}, "width"),
        ({"size": "own", "d_model": 64, "n_layers": 999}, "layers"), ({"preset": "demi"}, "demo"),
        ({"data": "hub", "hub_name": ""}, "org/name"), ({"data": "hub", "hub_name": "../../etc/passwd"}, "org/name"),
        ({"data": "hub", "hub_name": "/etc/passwd"}, "org/name"), ({"data": "hub", "hub_name": "a/b/c"}, "org/name"),
        ({"data": "upload"}, "Choose a file"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(fields, sentence):
    with pytest.raises(UserError, match=sentence):
        configuration(Form(**fields))


def test_a_folder_of_this_machine_is_no_hub_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").mkdir()
    with pytest.raises(DataError, match="not the name of a Hugging Face"):
        configuration(Form(data="hub", hub_name="org/name"))


# ----------------------------------------------------------------------------------------------------- uploads


PAIRS = "en,ja\n" + "".join(f"sentence {i},文{i}\n" for i in range(30))


def test_a_table_is_kept_and_trained_on(no_runs, tmp_path):
    path = upload(tmp_path, "pairs.csv", PAIRS)
    config = configuration(Form(data="upload", upload=path, src_column="en", tgt_column="ja"))
    kept = Path(config.data.name)
    assert kept.is_absolute() and kept.name == "pairs.csv" and kept.read_text() == PAIRS
    assert kept.is_relative_to(no_runs / "runs")
    assert (config.data.src_language, config.data.tgt_language) == ("en", "ja")
    assert not list_runs()  # what is kept is no run


def test_two_text_files_are_pairs(no_runs, tmp_path):
    src = upload(tmp_path, "a.txt", "".join(f"one {i}\n" for i in range(20)))
    tgt = upload(tmp_path, "b.txt", "".join(f"eins {i}\n" for i in range(20)))
    config = configuration(Form(data="upload", upload=src, upload_tgt=tgt))
    assert (Path(config.data.src).name, Path(config.data.tgt).name) == ("a.txt", "b.txt")


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("x.txt", b"\x89PNG\r\n\x1a\n\0\0\0", "not a text file"), ("x.txt", b"\xff\xfeab\xd8\xd8", "not a text file"),
        ("x.txt", "caf\u00e9".encode("latin-1"), "not UTF-8"), ("x.txt", b"", "is empty"), ("x.csv", b"\n", "is empty"),
        ("x.exe", b"MZ", "cannot be read"), ("noending", b"text", "cannot be read"),
        ("x.csv", b"a,b\n1,2\n", "no column 'src'"), ("x.csv", b"src,tgt\n", "no rows"),
        ("x.csv", b"src,tgt\n,\n,\n", "no pair with text"), ("x.txt", b"one line without a tab\n", "no tab"),
        ("x.json", b"{", "not valid JSON"), ("x.parquet", b"PAR1 nonsense", "parquet"),
    ],
)  # fmt: skip
def test_uploads_that_cannot_be_used(no_runs, started, tmp_path, name, data, sentence):
    values = ["demo", "preset", None, None, "upload", upload(tmp_path, name, data)]
    said, *others = training.start_training("t1", *values)
    assert sentence in said.replace("&#x27;", "'") and 'role="alert"' in said
    assert not started and not list_runs()


def test_an_upload_that_is_too_large(no_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(training_form, "MAX_UPLOAD", 10)
    with pytest.raises(DataError, match="takes files of up to"):
        keep_upload(upload(tmp_path, "x.txt", "12345678901"))


@pytest.mark.parametrize("name", ["..a.txt", "a b;$(x).txt", "ü\n.txt", ".hidden.txt", "x" * 200 + ".txt"])
def test_names_of_uploads_stay_in_their_folder(no_runs, tmp_path, name):
    kept = keep_upload(upload(tmp_path, name, "text"))
    assert kept.parent.parent == (no_runs / "runs" / ".uploads").resolve() and kept.read_text() == "text"
    assert keep_upload(upload(tmp_path, name, "text")) == kept


# ---------------------------------------------------------------------------------------------------- starting


def test_start_makes_the_run_and_follows_it(no_runs, started):
    said, follow, name, *shown = training.start_training("t1", "demo", "small", None, None, "builtin")
    assert started == ["t1"] and "t1 is starting" in said
    assert follow["value"] == "t1" and follow["choices"][0][1] == "t1" and name == "demo-1"
    config = json.loads((find_run("t1") / "config.json").read_text())
    assert config["model"]["d_model"] == 128 and config["data"]["name"] == "builtin:enja"
    assert "waiting to start" in shown[0] and shown[5].active


def test_a_name_that_is_taken_overwrites_nothing(no_runs, started):
    training.start_training("t1", "demo")
    before = (find_run("t1") / "config.json").read_bytes()
    said = training.start_training("t1", "gpt-shakespeare")[0]
    assert "already a run" in said and (find_run("t1") / "config.json").read_bytes() == before and started == ["t1"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", None])
def test_a_name_that_is_none_is_said(no_runs, started, name):
    assert "cannot be a run" in training.start_training(name, "demo")[0] and not started


def test_stop_without_a_run_is_said(no_runs):
    assert 'role="alert"' in training.stop_training(None)
    assert "no run" in training.stop_training("nope")


# --------------------------------------------------------------------------------------------------- following


@pytest.fixture
def followed(runs, tmp_path, monkeypatch):
    """A run that is training, as far as its files say."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    directory = create_run(preset("demo"), "live")
    Status(state="running", pid=1, step=10, steps=300, eta=60.0).write(directory)
    append_jsonl(directory / "metrics.jsonl", {"step": 10, "loss": 6.0, "tokens_per_second": 100.0})
    return directory


def test_on_arrival_what_trains_is_shown(followed):
    follow, name, status, plot, samples, log, stop, timer, seen = training.arrive("tiny-gpt")
    assert follow["value"] == "live" and name == "demo-1" and "10 of 300" in status
    assert list(plot.data[0].y) == [6.0] and stop["interactive"] and timer.active


def test_a_look_draws_only_what_has_changed(followed):
    seen = training.follow_run("live")[-1]
    assert all(value == gr.skip() for value in training.look("live", seen))
    append_jsonl(followed / "samples.jsonl", {"step": 10, "samples": [{"prompt": "p", "output": "o"}]})
    status, plot, samples, *_, seen, follow, models = training.look("live", seen)
    assert plot == gr.skip() and "step 10" in samples and follow == gr.skip() == models
    append_jsonl(followed / "metrics.jsonl", {"step": 20, "loss": 5.0})
    assert list(training.look("live", seen)[1].data[0].y) == [6.0, 5.0]


def test_a_run_that_is_done_appears_in_the_header_and_is_looked_at_no_more(followed, small_runs):
    seen = training.follow_run("live")[-1]
    for name in ("model.safetensors", "tokenizer.json"):
        (followed / name).write_bytes((small_runs / "tiny-gpt" / name).read_bytes())
    Status(state="done", step=300, steps=300).write(followed)
    *_, timer, seen, follow, models = training.look("live", seen)
    assert not timer.active and ("live · own", "live") in models["choices"]
    assert any(label == "live · done" for label, _ in follow["choices"])


def test_the_headers_run_is_shown_when_nothing_trains(runs):
    append_jsonl(runs / "tiny-gpt" / "metrics.jsonl", {"step": 1, "val_loss": 3.0})
    assert training.first_run("tiny-gpt") == "tiny-gpt" == training.first_run("tiny-llama")


def test_nothing_trained_yet(no_runs):
    follow, name, status, plot, *_ = training.arrive(None)
    assert follow["value"] is None and name == "demo-1" and "No run is followed" in status
    assert "first step" in plot.layout.annotations[0].text


def test_a_broken_run_does_not_break_the_list(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    (tmp_path / "bad").mkdir()
    write_json(tmp_path / "bad" / "config.json", {"modle": {}})
    (tmp_path / "bad" / "status.json").write_text("{")
    assert training.run_choices() == [("bad · broken", "bad")]
    assert "bad" in training.follow_run("bad")[0]


# ------------------------------------------------------------------------------------------------------ fields


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("kind", ["builtin", "upload", "hub"])
def test_only_the_fields_that_are_needed_are_shown(name, kind):
    pairs = preset(name).model.family == "transformer"
    visible = [update["visible"] for update in training.show_fields(name, kind)]
    upload, upload_tgt, hub, hub_configuration, text, src, tgt = visible
    assert upload == (kind == "upload") and upload_tgt == (kind == "upload" and pairs)
    assert hub == hub_configuration == (kind == "hub")
    assert text == (kind != "builtin" and not pairs) and src == tgt == (kind != "builtin" and pairs)


def test_a_preset_fills_in_its_fields(no_runs):
    about, kind, steps, rate, name, *fields = training.choose_preset("transformer-bsd", "preset", None, None)
    assert "business dialogues" in about and "M parameters" in about
    assert (kind, steps, name) == ("hub", 10_000, "transformer-bsd-1") and rate == 7e-4
    assert fields[2]["value"] == "ryo0634/bsd_ja_en" and fields[5]["value"] == "en_sentence"


def test_the_size_is_told_or_why_not():
    assert "4 layers" in training.about_html("gpt-shakespeare", "medium")
    assert 'role="alert"' in training.about_html("llama-pydocs", "own", 33, 2)


def test_the_form_has_the_fields_of_the_tab(no_runs):
    with gr.Blocks():
        tab = training.build()
    assert len(tab.form) == len(Form.__dataclass_fields__)
    assert configuration(Form(*[component.value for component in tab.form])).preset == "demo"
