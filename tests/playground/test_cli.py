"""The command line: one JSON document on stdout, one sentence on stderr, the right exit code."""

import io
import json
import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import pytest

from core.config import RunConfig
from core.decode import GenerationConfig, generate
from core.decode.config import STRATEGIES
from core.errors import ConfigError
from core.run import create_run, load, read_metrics, read_status
from playground import cli
from playground.commands import text as text_commands
from playground.commands.text import decode_config
from playground.commands.training import run_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(capsys, monkeypatch):
    """call(*arguments, stdin=text) -> exit code, stdout, stderr."""

    def run(*arguments, stdin=None):
        if stdin is not None:
            raw = stdin if isinstance(stdin, bytes) else stdin.encode()
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def one_sentence(code, out, err):
    assert code == 1 and out == "" and err.count("\n") == 1 and "Traceback" not in err
    return err


# ----------------------------------------------------------------------------------------------------- in general


def test_help_imports_nothing_heavy():
    check = "import sys; from playground.cli import main; code = main(['--help']); " + (
        "heavy = {'torch', 'gradio', 'numpy', 'lightning', 'tokenizers', 'datasets', 'plotly'} & set(sys.modules); "
        "sys.exit(f'{heavy} {code}' if heavy or code else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in cli.MODULES:
        assert command in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["nope"], ["stop"], ["tokenize", "x"], ["train", "demo", "--on", "mars"], ["translate", "--num-beams", "x"],
     ["runs", "--nope"], ["generate", "--strategy", "best", "x"]],
)  # fmt: skip
def test_wrong_usage_is_2(call, arguments):
    code, out, err = call(*arguments)
    assert code == 2 and out == "" and "usage:" in err


@pytest.mark.parametrize("command", cli.MODULES)
def test_every_command_has_help(call, command):
    code, out, _ = call(command, "--help")
    assert code == 0 and "--json" in out and "--runs-dir" in out


def test_a_mistake_of_ours_is_one_sentence_too(call, runs, monkeypatch):
    def broken(args):
        raise ValueError("two\nlines")

    monkeypatch.setattr("playground.commands.runs.runs", broken)
    assert "ValueError: two lines" in one_sentence(*call("runs"))
    code, _, err = call("runs", "--debug")
    assert code == 1 and "Traceback" in err


def test_ctrl_c(call, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("playground.commands.runs.runs", interrupted)
    assert call("runs") == (cli.INTERRUPTED, "", "Interrupted.\n")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "playground", "train", "--list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=ROOT, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


# ----------------------------------------------------------------------------------------------------------- text


def test_tokenize(call, runs):
    text = "Hello コーヒー\x01\n👩‍👩‍👧"
    code, out, _ = call("tokenize", "--run", "tiny-gpt", "--json", text)
    (result,) = json.loads(out)["results"]
    assert code == 0 and result["ids"] == load("tiny-gpt").tokenizer.encode(text).ids
    assert result["characters"] == len(text) and result["bytes"] == len(text.encode()) == result["byte_spans"][-1][1]
    assert len(result["tokens"]) == len(result["ids"])
    assert call("tokenize", "--tokenizer", runs / "tiny-gpt", "Hello")[0] == 0
    assert "text to tokenize" in one_sentence(*call("tokenize", "--run", "tiny-gpt", ""))


def test_translate_is_generate_as_json(call, runs):
    text = "I'd like a cup of coffee."
    code, out, err = call(
        "translate", "--run", "tiny-transformer", "--json", "--num-beams", 3, "--num-return-sequences", 2, text, "Yes."
    )
    found = json.loads(out)
    config = GenerationConfig(strategy="beam", num_beams=3, num_return_sequences=2, max_new_tokens=12)
    expected = generate(load("tiny-transformer"), [text, "Yes."], config)
    assert code == 0 and err == "" and found["run"] == "tiny-transformer" and found["decode"]["num_beams"] == 3
    for result, generation in zip(found["results"], expected, strict=True):
        assert result["text"] == generation.prompt and result["translation"] == generation.text
        assert [h["ids"] for h in result["hypotheses"]] == [h.ids for h in generation.hypotheses]
        assert [h["logprobs"] for h in result["hypotheses"]] == [h.logprobs for h in generation.hypotheses]
        assert result["score"] == generation.score and result["truncated"] is False


def test_lines_of_standard_input_keep_step(call, runs):
    code, out, _ = call("translate", "--run", "tiny-transformer", stdin="Yes.\n\ncoffee\r\nlast")
    run = load("tiny-transformer")
    expected = [" ".join(g.text.split("\n")) for g in generate(run, ["Yes.", "", "coffee", "last"])]
    assert code == 0 and out.split("\n")[:-1] == expected and expected[1] == ""


def test_bytes_that_are_no_text_are_read(call, runs):
    code, out, _ = call("generate", "--run", "tiny-gpt", "--json", stdin=b"caf\xe9 \x00 ok\n")
    assert code == 0 and json.loads(out)["results"][0]["text"] == "caf\ufffd \x00 ok"


def test_lone_surrogates_are_no_crash(call, runs):
    code, out, _ = call("generate", "--run", "tiny-gpt", "--json", "a\udcffb")
    assert code == 0 and json.loads(out)["results"][0]["text"] == "a\udcffb"


def test_sampling_is_repeatable_and_its_settings_choose_it(call, runs):
    first, again, other = (
        json.loads(call("generate", "--run", "tiny-gpt", "--json", "--top-p", 0.9, "--seed", seed, "ROMEO")[1])
        for seed in (7, 7, 8)
    )
    assert first["decode"]["strategy"] == "sample" and first["results"][0]["continuation"]
    assert first["results"][0]["hypotheses"] == again["results"][0]["hypotheses"]
    assert first["results"][0]["hypotheses"] != other["results"][0]["hypotheses"]


def test_generate_from_the_start(call, runs):
    code, out, _ = call("generate", "--run", "tiny-llama", "--from-start", "--json")
    (result,) = json.loads(out)["results"]
    assert code == 0 and result["hypotheses"][0]["ids"] == generate(load("tiny-llama"), "")[0].ids


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["translate", "--run", "tiny-transformer", ""], "text is empty"),
        (["translate", "--run", "tiny-transformer", " \t"], "text is empty"),
        (["generate", "--run", "tiny-gpt", ""], "prompt is empty"),
        (["generate", "--run", "tiny-gpt", "x" * 100_000], "more than the 48"),
        (["translate", "--run", "tiny-transformer", "word " * 60], "--truncate"),
        (["translate", "--run", "tiny-gpt", "x"], "llm-scratch generate"),
        (["generate", "--run", "tiny-transformer", "x"], "llm-scratch translate"),
        (["translate", "--run", "nope", "x"], "There is no run 'nope'"),
        (["translate", "--run", "../etc", "x"], "not a run directory"),
        (["generate", "--run", "tiny-gpt", "--top-p", "2", "x"], "top_p"),
        (["generate", "--run", "tiny-gpt", "--top-p", ".5", "--num-beams", "2", "x"], "--strategy"),
        (["generate", "--run", "tiny-gpt", "--set", "model.d_model=3", "x"], "decode.FIELD"),
        (["generate", "--run", "tiny-gpt", "--strategy", "assisted", "x"], "needs --assistant NAME"),
        (["generate", "--run", "tiny-gpt", "--assistant", "tiny-transformer", "x"], "translates"),
        (["generate", "--run", "tiny-gpt", "--assistant", "nope", "x"], "no run 'nope'"),
        (["generate", "--run", "tiny-gpt", "--assistant", "tiny-llama", "--strategy", "beam", "x"], "'beam'"),
        (["generate", "--run", "tiny-gpt", "--num-beams", "5", "--num-beam-groups", "2", "x"], "multiple"),
        (["generate", "--run", "tiny-gpt", "--set", "decode.topp=3", "x"], "decode.top_p"),
        (["generate", "--run", "tiny-gpt", "--from-start", "x"], "not both"),
        (["generate", "--run", "org/name", "x"], "a model of the hub is written hf:org/name"),
        (["tokenize", "--tokenizer", "nope.json", "x"], "nope"),
        (["stop", "tiny-gpt"], "not training"),
        (["runs", "nope"], "no run 'nope'"),
    ],
)
def test_bad_input_is_one_sentence(call, runs, arguments, sentence):
    assert sentence in one_sentence(*call(*arguments))
    assert sentence in one_sentence(*call(*arguments, "--json"))


def test_nothing_on_standard_input(call, runs):
    assert "is empty" in one_sentence(*call("translate", "--run", "tiny-transformer", stdin="\n\n"))
    assert "is empty" in one_sentence(*call("generate", "--run", "tiny-gpt", "--json", stdin=""))


def test_truncate_takes_what_fits(call, runs):
    code, out, _ = call("translate", "--run", "tiny-transformer", "--truncate", "--json", "word " * 60)
    assert code == 0 and json.loads(out)["results"][0]["truncated"] is True


def test_a_conversation(call, runs, monkeypatch):
    lines = iter(["ROMEO", "", "x" * 1_000, "cup"])

    def answer(prompt):
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(sys, "stdin", Namespace(isatty=lambda: True))
    code, out, err = call("generate", "--run", "tiny-gpt")
    expected = [g.text for g in generate(load("tiny-gpt"), ["ROMEO", "cup"])]
    assert code == 0 and out == f"{expected[0]}\n{expected[1]}\n" and "more than the 48" in err


def test_decoding_settings():
    def config(*arguments):
        args = cli.parser().parse_args(["generate", "x", *arguments])
        return decode_config(RunConfig(decode=GenerationConfig(strategy="beam", num_beams=4)), args)

    assert config().num_beams == 4 and config("--strategy", "greedy").is_greedy
    assert config("--temperature", "0.5").strategy == "sample" and config("--max-new-tokens", "7").strategy == "beam"
    assert config("--set", 'decode.stop_strings=["x"]').stop_strings == ("x",)
    assert config("--stop-string", "a", "--stop-string", "\n\n").stop_strings == ("a", "\n\n")
    for flag, value in (("true", True), ("false", False), ("never", "never")):
        assert config("--early-stopping", flag).early_stopping is value or value == "never"
    assert config("--early-stopping", "never", "--length-penalty-formula", "gnmt").early_stopping == "never"
    for flags, strategy in [
        (["--num-beams", "6"], "beam"), (["--length-penalty", "0.6"], "beam"),
        (["--num-beams", "6", "--num-beam-groups", "2"], "diverse_beam"),
        (["--diversity-penalty", "1"], "diverse_beam"),
        (["--penalty-alpha", "0.4"], "contrastive"), (["--top-k", "6", "--penalty-alpha", "0.4"], "contrastive"),
        (["--top-k", "6"], "sample"), (["--num-samples", "8"], "best_of"), (["--mbr-metric", "bleu"], "mbr"),
        (["--num-samples", "8", "--mbr-metric", "bleu", "--top-p", "0.9"], "mbr"),
        (["--num-assistant-tokens", "3"], "assisted"), (["--assistant", "other"], "assisted"),
        (["--strategy", "mbr", "--num-samples", "8"], "mbr"),
        (["--set", "decode.strategy=diverse_beam", "--num-beams", "6"], "diverse_beam"),
    ]:  # fmt: skip
        assert config(*flags).strategy == strategy, flags
    assert not config("--assistant", "other").assisted_sampling
    assert config("--assistant", "other", "--temperature", "0.7").assisted_sampling
    assert config("--assistant", "other", "--assisted-sampling").assisted_sampling
    with pytest.raises(ConfigError, match="--num-beams and --penalty-alpha act on no strategy together"):
        config("--num-beams", "3", "--penalty-alpha", "0.5")


def test_settings_without_effect_are_told(call, runs):
    flags = ("--max-new-tokens", 3, "cup", "--strategy", "greedy")
    code, _, err = call("generate", "--run", "tiny-gpt", *flags, "--temperature", "2", "--top-p", "0.5")
    assert code == 0 and err == "--temperature and --top-p have no effect on the strategy greedy.\n"
    assert call("generate", "--run", "tiny-gpt", *flags, "--repetition-penalty", "1.2")[2] == ""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_from_the_command_line(call, runs, strategy):
    flags = ["--strategy", strategy, "--max-new-tokens", "6", "--seed", "3"]
    flags += ["--assistant", "tiny-gpt"] if strategy == "assisted" else []
    code, out, err = call("generate", "--run", "tiny-gpt", "--json", *flags, "ROMEO", "cup")
    assert code == 0 and err == ""
    run = load("tiny-gpt")
    config = GenerationConfig(strategy=strategy, max_new_tokens=6, seed=3)
    expected = generate(run, ["ROMEO", "cup"], config, assistant=run if strategy == "assisted" else None)
    for result, generation in zip(json.loads(out)["results"], expected, strict=True):
        assert result["continuation"] == generation.text and result["work"] == asdict(generation.work)
        assert [h["ids"] for h in result["hypotheses"]] == [h.ids for h in generation.hypotheses]
        assert [h["drafted"] for h in result["hypotheses"]] == [h.drafted for h in generation.hypotheses]


# ------------------------------------------------------------------------------------------------------- training


def training_arguments(*arguments):
    return cli.parser().parse_args(["train", *map(str, arguments)])


def test_data_options_make_the_configuration(tmp_path):
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).write_text("x\n")
    a, b, c, d = (str(tmp_path / name) for name in "abcd")
    files = ["--src", a, "--tgt", b, "--val-src", c, "--val-tgt", d]
    config = run_config(training_arguments("transformer-enja", *files, "--set", "seed=5"))
    assert (config.data.src, config.data.tgt, config.data.val_src, config.data.val_tgt) == (a, b, c, d)
    assert config.data.pretokenized and config.seed == 5 and config.preset == "transformer-enja"
    table = tmp_path / "t.csv"
    table.write_text("x\n")
    config = run_config(training_arguments("transformer-bsd", "--data", table, "--src-column", "en"))
    assert (config.data.name, config.data.src_column, config.data.tgt_column) == (str(table), "en", "tgt")
    assert config.data.tgt_language == "ja" and not config.data.pretokenized
    config = run_config(training_arguments("gpt-fineweb", "--data", "org/other", "--text-column", "body"))
    assert (config.data.configuration, config.data.streaming, config.data.text_column) == ("", False, "body")


def test_a_configuration_file(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"model": {"d_model": 64}}))
    config = run_config(training_arguments("--config", tmp_path / "c.json", "--set", "train.max_steps=1_0"))
    assert config.model.d_model == 64 and config.train.max_steps == 10


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["demi"], "Did you mean 'demo'"), ([], "Name a preset"), (["gpt-shakespeare"], "no file input.txt"),
        (["demo", "--data", "not-there.csv"], "no file not-there.csv"), (["demo", "--src", "x"], "give both"),
        (["demo", "--set", "train.max_step=1"], "train.max_steps"), (["demo", "--set", "seed"], "section.field=value"),
        (["demo", "--run-name", "../x"], "cannot be a run's name"),
        (["demo", "--run-name", "tiny-gpt"], "already a run"),
        (["--resume"], "--run-name"), (["--resume", "--run-name", "nope"], "no run 'nope'"),
        (["--resume", "--run-name", "tiny-gpt", "--set", "model.d_model=8"], "keeps its model"),
        (["--config", "not-there.json"], "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_one_sentence_and_leaves_nothing(call, runs, arguments, sentence):
    before = sorted(path.name for path in runs.iterdir())
    assert sentence in one_sentence(*call("train", *arguments))
    assert sorted(path.name for path in runs.iterdir()) == before


def test_train_list(call):
    assert "demo" in json.loads(call("train", "--list", "--json")[1])["presets"]


def test_train_stop_resume_evaluate(call, no_runs, tmp_path):
    """A whole small run: JSON on stdout, progress on stderr; a name that is taken is refused; it is resumed."""
    folder = tmp_path / "mine"
    table = tmp_path / "pairs.tsv"
    table.write_text("en\tja\n" + "".join(f"number {i}\t数{i}\n" for i in range(60)))
    tiny = [
        "model.d_model=16", "model.n_layers=1", "model.n_heads=2", "tokenizer.vocab_size=270", "train.max_steps=4",
        "train.batch_tokens=128", "train.val_every=2", "train.checkpoint_every=2", "train.sample_every=4",
        "train.snapshots=0", "train.threads=1", "decode.max_new_tokens=4",
    ]  # fmt: skip
    options = [part for key in tiny for part in ("--set", key)]
    columns = ["--data", table, "--src-column", "en", "--tgt-column", "ja"]
    command = ["train", "demo", "--run-name", "t1", "--runs-dir", folder, "--json", *columns, *options]
    code, out, err = call(*command)
    result = json.loads(out)
    assert code == 0 and (result["run"], result["state"], result["step"]) == ("t1", "done", 4) and "loss" in err
    losses = [line["val_loss"] for line in read_metrics(folder / "t1") if "val_loss" in line]
    assert result["best_val_loss"] == min(losses) and read_status(folder / "t1").state == "done"
    assert "already a run 't1'" in one_sentence(*call(*command))

    more = ["--resume", "--run-name", "t1", "--runs-dir", folder, "--set", "train.max_steps=6", "--json"]
    assert json.loads(call("train", *more)[1])["step"] == 6

    result = json.loads(call("eval", "--run", "t1", "--runs-dir", folder, "--json")[1])
    best = min(line["val_loss"] for line in read_metrics(folder / "t1") if "val_loss" in line)
    assert result["loss_per_token"] == pytest.approx(best, abs=1e-4)
    assert load("t1", folder).scores["bleu"] == round(result["bleu"], 4)

    shown = json.loads(call("runs", "t1", "--runs-dir", folder, "--json")[1])
    assert shown["status"]["step"] == 6 and shown["samples"] and shown["config"]["train"]["max_steps"] == 6


def test_a_run_that_fails_before_its_first_step_leaves_its_name_free(call, no_runs, tmp_path):
    table = tmp_path / "pairs.csv"
    table.write_text("a,b\n1,2\n")
    command = ["train", "demo", "--run-name", "t1", "--runs-dir", tmp_path / "mine", "--data", table]
    code, out, err = call(*command)
    assert code == 1 and out == "" and "no column 'src'" in err.splitlines()[-1]
    assert not (tmp_path / "mine" / "t1").exists()


def test_prepare(call, tmp_path):
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 50)
    command = ["prepare", "gpt-shakespeare", "--data", tmp_path / "text.txt", "--set", "tokenizer.vocab_size=265"]
    code, out, _ = call(*command, "--json", "--output", tmp_path / "tokenizer.json")
    result = json.loads(out)
    assert code == 0 and result["train"]["tokens"] > result["val"]["tokens"] > 0
    code, out, _ = call("tokenize", "--tokenizer", tmp_path / "tokenizer.json", "--json", "to be")
    assert code == 0 and max(json.loads(out)["results"][0]["ids"]) < result["vocabulary"]


# ----------------------------------------------------------------------------------------------------------- runs


def test_runs(call, runs):
    found = json.loads(call("runs", "--json")[1])["runs"]
    assert {run["run"]: run["family"] for run in found} == {
        "tiny-transformer": "transformer", "tiny-gpt": "gpt", "tiny-llama": "llama",
    }  # fmt: skip
    assert all(run["state"] == "done" and run["has_model"] for run in found)
    assert "tiny-llama" in call("runs")[1] and "tiny-gpt" in call("runs", "tiny-gpt")[1]


def test_no_runs_yet(call, no_runs):
    assert "train demo" in call("runs")[1]
    assert json.loads(call("runs", "--json")[1]) == {"runs": []}


def test_stop(call, no_runs):
    directory = create_run(RunConfig(), "t1")
    code, out, _ = call("stop", "t1", "--json")
    assert code == 0 and json.loads(out)["run"] == "t1" and (directory / "stop").exists()


# ----------------------------------------------------------------------------------------------------- evaluation


def test_eval_of_files(call, runs, tmp_path):
    (tmp_path / "src").write_text("Yes.\nI'd like a cup of coffee.\n")
    (tmp_path / "ref").write_text("はい。\nコーヒーを一杯いただきたい。\n")
    files = ["--src", tmp_path / "src", "--ref", tmp_path / "ref"]
    code, out, _ = call(
        "eval", "--run", "tiny-transformer", *files, "--json", "--max-new-tokens", 5, "--output", tmp_path / "hyp"
    )
    result = json.loads(out)
    assert code == 0 and result["examples"] == 2 and "tok:" in result["bleu_signature"]
    assert len((tmp_path / "hyp").read_text().splitlines()) == 2
    assert load("tiny-transformer").scores["bleu"] == 12.345  # scores of other data are not the run's
    assert "give both" in one_sentence(*call("eval", "--run", "tiny-transformer", *files[:2]))
    lost = ("eval", "--run", "tiny-transformer", *files, "--output", tmp_path / "nowhere" / "hyp")
    assert "There is no directory" in one_sentence(*call(*lost))
    flags = ("--max-new-tokens", 5, "--json")
    greedy = json.loads(call("eval", "--run", "tiny-transformer", *files, *flags, "--strategy", "greedy")[1])
    assisted = ("eval", "--run", "tiny-transformer", *files, *flags)
    result = json.loads(call(*assisted, "--assistant", "tiny-transformer")[1])
    assert result["strategy"] == "assisted" and result["id"] != greedy["id"]
    same = ("data_sha256", "bleu", "bleu_signature", "chrf", "loss_per_token", "examples", "tokens")
    assert all(result[name] == greedy[name] for name in same)
    assert "needs --assistant" in one_sentence(*call(*assisted, "--strategy", "assisted"))


def test_eval_of_a_text(call, runs, tmp_path):
    (tmp_path / "text.txt").write_text("The function returns.")
    code, out, _ = call("eval", "--run", "tiny-gpt", "--data", tmp_path / "text.txt", "--json")
    assert code == 0 and json.loads(out)["bytes"] == 21
    code, out, _ = call("eval", "--run", "tiny-gpt", "--data", tmp_path / "text.txt")
    assert code == 0 and "bits_per_byte" in out
    assert "trained on" in one_sentence(*call("eval", "--run", "tiny-gpt"))  # notes.txt is not here


def test_long_input_is_decoded_in_pieces(call, runs, monkeypatch):
    monkeypatch.setattr(text_commands, "TOGETHER", 2)
    code, out, _ = call("translate", "--run", "tiny-transformer", stdin="a\nb\nc\nd\ne\n")
    assert code == 0 and out.count("\n") == 5


# ------------------------------------------------------------------------------------------- device and precision


def test_int8_is_measured_and_not_kept_as_the_score(call, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The function returns the number of items.\n" * 20, encoding="utf-8")
    losses = {}
    for precision in ("float32", "int8"):
        arguments = ("eval", "--run", "pydocs-llama", "--data", text, "--precision", precision, "--json")
        code, out, err = call(*arguments)
        assert code == 0, err
        losses[precision] = json.loads(out)["loss_per_token"]
        assert json.loads(out)["precision"] == precision
    assert losses["int8"] != losses["float32"] and losses["int8"] == pytest.approx(losses["float32"], rel=0.02)


@pytest.mark.parametrize("flags", [("--precision", "bfloat16"), ("--device", "cuda")], ids=str)
def test_what_this_machine_cannot_do_is_one_sentence(call, flags):
    import torch

    if flags[0] == "--device" and torch.cuda.is_available():
        flags = ("--device", "cuda", "--precision", "int8")
    one_sentence(*call("translate", "Hello.", *flags))
