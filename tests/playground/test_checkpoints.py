"""`llm-scratch import` and `export`, and everything that is done with an imported run."""

import io
import json
import re
import shutil
from types import SimpleNamespace

import pytest
import sentencepiece
import torch
from safetensors import safe_open

from core.config import ModelConfig, RunConfig
from core.files import write_json
from core.model import build_model
from core.model.hf_export import export_pretrained
from core.run import BUNDLED, Run, list_runs, load
from core.tokenizer import MarianTokenizer, load_tokenizer
from playground import cli, models, readings
from playground.jobs import LocalBackend
from playground.tabs.decoding import columns
from playground.tabs.decoding.work import Work
from playground.views.facts import fact_rows
from tests.fake_hub import serving

SOURCE = ["the cat sat on the mat.", "where is the station?", "I'd like a cup of coffee."] * 9
TARGET = ["le chat est sur le tapis.", "où est la gare ?", "je voudrais une tasse de café."] * 9


@pytest.fixture
def call(capsys):
    """call(*arguments) -> exit code, stdout, stderr."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def own(monkeypatch, tmp_path, runs):
    """RUNS_DIR, empty."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def checkpoints(small_runs, tmp_path):
    """Directories in the hub's format: of the small runs, and one with Marian's tokenizer."""
    for name in ("tiny-gpt", "tiny-llama", "tiny-transformer"):
        export_pretrained(load(str(small_runs / name)), tmp_path / "given" / name)
    marian = tmp_path / "given" / "opus"
    marian.mkdir()
    pieces: list[str] = []
    for name, texts in (("source.spm", SOURCE), ("target.spm", TARGET)):
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=written, vocab_size=60, model_type="bpe", minloglevel=2,
            hard_vocab_limit=False,
        )  # fmt: skip
        (marian / name).write_bytes(written.getvalue())
        model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
        pieces += [model.id_to_piece(i) for i in range(3, model.get_piece_size())]
    vocab = ["</s>", "<unk>", *dict.fromkeys(pieces), "<pad>"]
    write_json(marian / "vocab.json", {piece: id for id, piece in enumerate(vocab)})
    config = ModelConfig(
        family="transformer", vocab_size=len(vocab), d_model=16, n_layers=1, n_heads=2, max_seq_len=40, d_ff=32,
        norm_position="post", positions="sinusoidal_halves", output_bias=True, activation="silu",
    )  # fmt: skip
    torch.manual_seed(1)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4)
    model.pad_id = model.bos_id = len(vocab) - 1
    model.eos_id = 0
    run = Run("opus", RunConfig(model=config), MarianTokenizer(marian), marian)
    run.model = model
    export_pretrained(run, tmp_path / "exported")
    for file in (tmp_path / "exported").iterdir():
        shutil.copyfile(file, marian / file.name)
    generation = json.loads((marian / "generation_config.json").read_text())
    write_json(marian / "generation_config.json", generation | {"bad_words_ids": [[len(vocab) - 1]], "num_beams": 2})
    (marian / "README.md").write_text("---\nlicense: mit\n---\n# A translator\n")
    return tmp_path / "given"


@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-llama", "tiny-transformer", "opus"])
def test_in_and_out(name, call, own, checkpoints, tmp_path):
    """Import, use, export, and back again: the same text, whatever the tokenizer and the special ids."""
    code, out, err = call("import", checkpoints / name, "--json")
    result = json.loads(out)
    assert code == 0 and err == "" and result["run"] == name and result["directory"] == str((own / name).resolve())
    run = load(name)
    assert result["weights"] == run.model.num_parameters() and result["vocabulary"] == run.config.model.vocab_size
    what, key = ("translate", "translation") if run.is_translation else ("generate", "continuation")
    text = "the cat sat on"
    written = json.loads(call(what, "--run", name, "--json", "--max-new-tokens", 9, text)[1])["results"][0][key]
    given = json.loads(call(what, "--run", checkpoints / name, "--json", "--max-new-tokens", 9, text)[1])
    assert written == given["results"][0][key] != ""
    code, out, _ = call("export", name, tmp_path / "out", "--json")
    assert code == 0 and set(json.loads(out)["files"]) == {p.name for p in (tmp_path / "out").iterdir()}
    again = load(str(tmp_path / "out"))
    assert again.config.model == run.config.model and again.config.decode == run.config.decode
    assert (again.model.pad_id, again.model.bos_id, again.model.eos_id) == (
        run.model.pad_id, run.model.bos_id, run.model.eos_id,
    )  # fmt: skip
    state = again.model.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in run.model.state_dict().items())
    assert again.tokenizer.encode("the mat").ids == run.tokenizer.encode("the mat").ids


def test_an_imported_run_is_a_run_like_others(call, own, checkpoints, tmp_path):
    assert call("import", checkpoints / "opus", "--run-name", "mine")[0] == 0
    code, out, _ = call("runs", "--json")
    (info,) = json.loads(out)["runs"]
    assert (info["run"], info["family"], info["state"], info["has_model"], info["error"]) == (
        "mine", "transformer", "done", True, "",
    )  # fmt: skip
    assert "imported from" in call("runs")[1] and "imported from" in call("runs", "mine")[1]
    assert ("mine · own", "mine") in models.model_choices() and LocalBackend().progress("mine").has_model
    assert load("mine").card == "# A translator\n"
    assert json.loads(call("tokenize", "--run", "mine", "--json", "the mat")[1])["results"][0]["characters"] == 7
    assert load_tokenizer("mine").encode("the").ids == load("mine").tokenizer.encode("the").ids
    (tmp_path / "src.txt").write_text("the cat\nwhere is the mat?\n")
    (tmp_path / "ref.txt").write_text("le chat\noù est le tapis ?\n")
    code, out, err = call(
        "eval", "--run", "mine", "--src", tmp_path / "src.txt", "--ref", tmp_path / "ref.txt", "--save", "--json"
    )
    assert code == 0 and json.loads(out)["loss_per_token"] > 0, err
    rows = dict(fact_rows(load("mine").config, 5, load("mine").scores))
    assert "Trained on" not in rows and "chrF" in rows
    assert {*readings.reading_of(readings.Work("mine", "the cat")).kinds} == {"cross", "encoder", "self"}


def test_the_decoding_tab_keeps_to_what_a_checkpoint_forbids(own, checkpoints, call):
    """Marian's pad, with which the decoder begins, is never written: here everything but one token is forbidden."""
    path = checkpoints / "opus" / "generation_config.json"
    size = load(str(checkpoints / "opus")).config.model.vocab_size
    write_json(
        path, {**json.loads(path.read_text()), "bad_words_ids": [[id] for id in range(size) if id not in (0, 9)]}
    )
    call("import", checkpoints / "opus")
    page = SimpleNamespace(session_hash="page")
    pictures = list(columns.write_again(Work("opus", "the cat"), "", "local", (), page))
    for place in (1, 2, 3):
        html = "".join(str(picture[place]) for picture in pictures)
        ids = re.findall(r'"id (\d+) ·', html)  # of columns that have ended
        assert "9" in ids and set(ids) <= {"0", "9"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("import", "CHECKPOINT"), "already a run 'opus'"),
        (("import", "CHECKPOINT", "--run-name", "../x"), "cannot be a run's name"),
        (("import", "nothing"), "There is no directory 'nothing'; a model of the hub is written hf:nothing."),
        (("import", "."), "'.' is no checkpoint: it has no config.json"),
        (("import", ""), "There is no directory ''"),
        (("import", "CHECKPOINT", "--revision", "main"), "A revision is of a model of the hub"),
        (("import", "hf:org/name"), "not in the cache on this machine, and HF_HUB_OFFLINE is set"),
        (("import", "RUN"), "no Hugging Face checkpoint"),
        (("export", "nothing", "OUT"), "There is no run 'nothing'"),
        (("export", "opus", "CHECKPOINT"), "is not empty"),
        (("eval", "--run", "opus"), "What opus was trained on is not known"),
        (("train", "--resume", "--run-name", "opus"), "opus is an imported checkpoint: it was not trained here"),
        (("train", "demo", "--run-name", "x", "--set", "tokenizer.path=opus"), "cannot be written as tokenizer.json"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, call, own, checkpoints, small_runs, tmp_path):
    call("import", checkpoints / "opus")
    before = {path.name: path.read_bytes() for path in (own / "opus").iterdir()}
    places = {"CHECKPOINT": checkpoints / "opus", "RUN": small_runs / "tiny-gpt", "OUT": tmp_path / "out"}
    code, out, err = call(*[places.get(argument, argument) for argument in arguments])
    assert code == 1 and out == "" and sentence in err.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in (own / "opus").iterdir()} == before
    assert [path.name for path in own.iterdir()] == ["opus"]


def test_a_download_is_told_on_stderr(own, checkpoints, call, monkeypatch, tmp_path):
    """As lines for a person; with --json there is the document only."""
    with serving(monkeypatch, checkpoints / "tiny-gpt", tmp_path / "cache"):
        code, out, err = call("import", "hf:org/name")
        size = sum(path.stat().st_size for path in (checkpoints / "tiny-gpt").iterdir()) / 1e6
        assert code == 0 and f"downloading: {size:.1f} of {size:.1f} MB\n" in err and "name: GPT2LMHeadModel" in out
    with serving(monkeypatch, checkpoints / "tiny-llama", tmp_path / "another cache"):
        code, out, err = call("generate", "--run", "hf:org/name", "--json", "--max-new-tokens", 2, "the cat")
        assert code == 0 and err == "" and json.loads(out)["run"] == "hf:org/name"


def test_shards_of_other_names_are_kept(own, checkpoints, call):
    """What the index names is what is copied, and a file beside it is not."""
    directory = checkpoints / "tiny-gpt"
    (directory / "model.safetensors").rename(directory / "weights-of-it.safetensors")
    (directory / "model-unused.safetensors").write_bytes(b"x")
    with safe_open(directory / "weights-of-it.safetensors", "pt") as file:
        where = {key: "weights-of-it.safetensors" for key in file.keys()}
    write_json(directory / "model.safetensors.index.json", {"weight_map": where})
    assert call("import", directory)[0] == 0
    assert {p.name for p in (own / "tiny-gpt").glob("*.safetensors")} == {"weights-of-it.safetensors"}
    assert load("tiny-gpt").model.num_parameters() > 0 and list_runs()[0].has_model


def test_a_broken_checkpoint_leaves_nothing_behind(call, own, checkpoints):
    file = checkpoints / "opus" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    code, _, err = call("import", checkpoints / "opus")
    assert code == 1 and "is broken" in err
    assert not own.exists() or not list(own.iterdir())


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_export_that_is_cut_short_leaves_nothing_behind(stop, call, runs, tmp_path, monkeypatch):
    def write(*_):
        raise stop

    monkeypatch.setattr("core.model.hf_export.write_atomic", write)
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        assert call("export", "tiny-gpt", tmp_path / name)[0] in (1, 130)
    assert not (tmp_path / "new").exists() and not list((tmp_path / "empty").iterdir())


def test_a_tokenizer_of_another_model_is_refused(call, own, checkpoints):
    """Special tokens beyond the model's are usual: no text is cut into them."""
    file = checkpoints / "tiny-gpt" / "tokenizer.json"
    document = json.loads(file.read_text())
    document["added_tokens"].append(document["added_tokens"][0] | {"id": 90_000, "content": "<added>"})
    file.write_text(json.dumps(document))
    assert call("import", checkpoints / "tiny-gpt", "--run-name", "added")[0] == 0
    shutil.copyfile(BUNDLED / "enja-transformer" / "tokenizer.json", file)
    code, _, err = call("import", checkpoints / "tiny-gpt")
    assert code == 1 and "has 4,000 tokens, but its model only" in err


def test_an_import_says_what_it_cannot_do(call, own, checkpoints):
    (checkpoints / "tiny-gpt" / "tokenizer.json").unlink()
    (checkpoints / "tiny-gpt").rename(checkpoints / "my model (v2)")
    code, out, _ = call("import", checkpoints / "my model (v2)")
    assert code == 0 and out.startswith("my-model-v2: ") and "it cannot read text" in out and "uses it" not in out


def test_a_checkpoint_of_another_kind_is_listed_with_what_is_wrong(own):
    (own / "strange").mkdir(parents=True)
    write_json(own / "strange" / "config.json", {"model_type": "bert", "architectures": ["BertModel"]})
    (info,) = [info for info in list_runs() if not info.bundled]
    assert info.error == "A model of type 'bert' cannot be opened." and info.name not in dict(models.model_choices())


def test_an_empty_text_is_told_as_it_is(own, checkpoints, call):
    """A model that has not seen a token before every text is not said to."""
    config = checkpoints / "tiny-gpt" / "tokenizer_config.json"
    write_json(config, json.loads(config.read_text()) | {"add_bos_token": False})
    for name, words in (("tiny-gpt", "but a token to begin with"), ("tiny-llama", "the token that begins every text")):
        call("import", checkpoints / name)
        assert words in " ".join(readings.reading_of(readings.Work(name, "")).notes)
