"""The Training tab's form: as a configuration, uploads, starting, a look at the data."""

import json
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from core.errors import ConfigError, DataError, UserError
from core.presets import PRESETS, preset
from core.run import find_run, list_runs
from core.tokenizer import load_tokenizer, train_bpe
from core.tokenizer.own import own_path, save_own
from playground import training_form
from playground.jobs import LocalBackend
from playground.tabs import training, training_start
from playground.tabs.training_shown import SHOWN
from playground.training_form import Form, configuration, keep_upload, rest_assignments, usual_data


@pytest.fixture
def started(monkeypatch):
    """What would have been started."""
    names = []
    monkeypatch.setattr(LocalBackend, "_start", lambda self, directory, *options: names.append(directory.name))
    return names


HERE = ("local", "L4", 1, 4, True)  # where it is trained
LOOKS = ([], "loss", "step", 0.0, False)


def start(name, *form):
    return list(training.start_training(name, *LOOKS, *HERE, *form))[-1]


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
        usual = "builtin:enja" if config.model.family == "transformer" else "builtin:pydocs"
        assert config.data.name == (hub.name if hub.name.startswith("builtin:") else usual)
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
    said, *others = start("t1", *values)
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
    said, follow, compare, name, *shown = start("t1", "demo", "small", None, None, "builtin")
    assert started == ["t1"] and "t1 is starting" in said
    assert follow["value"] == "t1" and follow["choices"][0][1] == "t1"
    assert (name["value"], name["placeholder"]) == ("", "demo-1")
    config = json.loads((find_run("t1") / "config.json").read_text())
    assert config["model"]["d_model"] == 128 and config["data"]["name"] == "builtin:enja"
    shown = dict(zip(SHOWN, shown, strict=True))
    assert "waiting to start" in shown["status"] and shown["timer"].active and shown["stop"]["visible"]


def test_a_name_that_is_taken_overwrites_nothing(no_runs, started):
    start("t1", "demo")
    before = (find_run("t1") / "config.json").read_bytes()
    said = start("t1", "gpt-shakespeare")[0]
    assert "already a run" in said and (find_run("t1") / "config.json").read_bytes() == before and started == ["t1"]


@pytest.mark.parametrize("name", ["../x", "a/b", ".", "\0"])
def test_a_name_that_is_none_is_said(no_runs, started, name):
    assert "cannot be a run" in start(name, "demo")[0] and not started


@pytest.mark.parametrize("name", ["", "  ", None])
def test_without_a_name_the_offered_one_is_taken(no_runs, started, name):
    start(name, "demo")
    start(name, "demo")
    assert started == ["demo-1", "demo-2"]


# ------------------------------------------------------------------------------------------------------ fields


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("kind", ["builtin", "upload", "hub"])
def test_only_the_fields_that_are_needed_are_shown(name, kind):
    pairs = preset(name).model.family == "transformer"
    visible = [update["visible"] for update in training_start.show_fields(name, kind)]
    upload, upload_tgt, hub, hub_configuration, text, src, tgt = visible
    assert upload == (kind == "upload") and upload_tgt == (kind == "upload" and pairs)
    assert hub == hub_configuration == (kind == "hub")
    assert text == (kind != "builtin" and not pairs) and src == tgt == (kind != "builtin" and pairs)


def test_a_preset_fills_in_its_fields(no_runs):
    about, kind, steps, rate, name, *values = training_start.choose_preset("transformer-bsd", "preset", None, None)
    assert "business dialogues" in about and "M parameters" in about
    assert (kind, steps, name["placeholder"]) == ("hub", 10_000, "transformer-bsd-1") and rate == 7e-4
    assert "value" not in name  # what somebody has typed stays
    fields, more = values[:7], dict(zip(training_form.MORE, values[7:], strict=True))
    assert fields[2]["value"] == "ryo0634/bsd_ja_en" and fields[5]["value"] == "en_sentence"
    assert more["schedule"] == "inverse_sqrt" and more["label_smoothing"] == 0.1 and more["patience"] == 6


def test_the_size_is_told_or_why_not():
    assert "4 layers" in training_start.about_html("gpt-shakespeare", "medium")
    assert 'role="alert"' in training_start.about_html("llama-pydocs", "own", 33, 2)


def test_the_form_has_the_fields_of_the_tab(no_runs):
    with gr.Blocks():
        part = training_start.build()
    assert len(part.form) == len(Form.__dataclass_fields__)
    config = configuration(Form(*[component.value for component in part.form]))
    plain = configuration(Form())
    assert config == plain and config.preset == "demo"


# -------------------------------------------------------------------------------------------------------- more


def test_what_is_chosen_under_more_is_trained_with():
    form = Form(
        batch_tokens=512, optimizer="adamw", schedule="wsd", warmup_steps=7, dropout=0.25, label_smoothing=0.1,
        ema_decay=0.99, val_every=11, patience=3, score_examples=50, snapshots=2, precision="bf16", compile=True,
        gradient_checkpointing=True, devices=2, wandb="offline",
    )  # fmt: skip
    config = configuration(form)
    for name in training_form.MORE:
        assert getattr(getattr(config, training_form.SECTIONS[name]), name) == getattr(form, name), name


def test_the_presets_own_values_under_more_change_nothing():
    for name in PRESETS:
        form = dict(zip(training_form.MORE, training_form.more_values(name), strict=True))
        kind = usual_data(name)
        hub = {"data": kind, "hub_name": preset(name).data.name} if kind == "hub" else {}
        assert configuration(Form(name, **hub, **form)) == configuration(Form(name, **hub))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"batch_tokens": 0}, "tokens of a step"), ({"batch_tokens": 2.5}, "tokens of a step"),
        ({"dropout": 1}, "Dropout"),
        ({"dropout": float("nan")}, "Dropout"), ({"dropout": float("inf")}, "Dropout"), ({"ema_decay": 1}, "average"),
        ({"val_every": -1}, "Validation"), ({"patience": float("inf")}, "Early stopping"),
        ({"devices": 1000}, "Devices"),
        ({"optimizer": "sgd"}, "optim.optimizer"), ({"wandb": "=x"}, "train.wandb"), ({"precision": "8"}, "precision"),
        ({"warmup_steps": "x"}, "warm-up"), ({"snapshots": 1e300}, "Snapshots"),
    ],
)  # fmt: skip
def test_what_cannot_be_under_more_is_one_sentence(fields, sentence):
    with pytest.raises(UserError, match=sentence):
        configuration(Form(**fields))


def test_how_the_rest_is_trained():
    config = preset("demo")
    assert rest_assignments(None, None, config) == [] == rest_assignments(240, 3e-3, config)
    assert rest_assignments(500, 1e-4, config) == ["train.max_steps=500", "optim.learning_rate=0.0001"]
    for steps, rate in ((0, None), (2.5, None), (None, 0), (None, -1), (None, float("nan"))):
        with pytest.raises(UserError):
            rest_assignments(steps, rate, config)


# -------------------------------------------------------------------------------------------------- the tokenizer


def test_an_own_tokenizer_is_trained_with(no_runs):
    texts = ["the cat sat on the mat"] * 5
    save_own("mine", train_bpe(texts, 300), {})
    save_own("bare", train_bpe(texts, 300, special_tokens=["<|endoftext|>"]), {})
    assert [value for _, value in training_form.tokenizer_choices()][0] == ""
    assert {"mine", "bare"} < {value for _, value in training_start.refreshed_tokenizers()["choices"]}
    for keep in (True, False):
        config = configuration(Form(tokenizer="mine"), keep)
        assert config.tokenizer.path == str(own_path("mine").resolve())
        assert load_tokenizer(config.tokenizer.path).encode("the cat").ids
    assert training_form.expected_vocabulary(config.tokenizer) == load_tokenizer("mine").vocab_size
    assert configuration(Form(tokenizer="bare")).tokenizer.path  # what it lacks is added when the run begins
    sizes = [training_start.about_html("demo", tokenizer=name) for name in ("", "mine")]
    assert sizes[0] != sizes[1] and "parameters" in sizes[1]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "char"])
def test_another_kind_of_tokenizer_is_trained(kind):
    config = configuration(Form(tokenizer=training_form.KIND + kind))
    assert config.tokenizer == replace(preset("demo").tokenizer, kind=kind)
    assert training_form.expected_vocabulary(config.tokenizer) == (100 if kind == "char" else 1_000)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("nobody", "no tokenizer 'nobody'"), ("../x", "cannot be a tokenizer's name"), ("/etc/passwd", "cannot be"),
     ("kind:magic", "no kind of tokenizer"), ("pydocs-llama", "no tokenizer"), ("hf:org/name", "cannot be")],
)  # fmt: skip
def test_tokenizers_that_cannot_be_chosen(no_runs, name, sentence):
    for keep in (True, False):
        with pytest.raises(UserError, match=sentence):
            configuration(Form(tokenizer=name), keep)
