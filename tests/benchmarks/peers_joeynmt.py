"""Training a translator against JoeyNMT, both from their command lines, in turns on one machine.

JoeyNMT is fetched by whoever runs this: JOEYNMT_DIR names its directory, JOEYNMT_PYTHON a Python into which it was
installed (this one by default), ENJA_DIR a directory with train.en, train.ja, dev.en and dev.ja, words split by spaces.
Both sides get the same lines, cut by the same tokenizer of 8,000 tokens into the same ids; it sees each id as a word.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.measure import Row
from tests.benchmarks.peers import HERE, NO_EXTRAS, given
from tests.benchmarks.race import Racer, alternate

VOCABULARY, BATCH_TOKENS, LENGTH = 8_000, 4_096, 128
SECONDS = float(os.environ.get("JOEYNMT_SECONDS") or 300)  # of each side, for BLEU at equal wall-clock
BEAMS = 5
# Its own configuration for a set of this kind (configs/iwslt14_deen_bpe.yaml) at the shape that is compared. Its
# plateau schedule would not have lowered the rate once within minutes, and 3e-4 is slow for so short a run: peak and
# warm-up are therefore chosen for it.
SHAPE = {
    "type": "transformer", "num_layers": 3, "num_heads": 8, "hidden_size": 256, "ff_size": 1_024, "dropout": 0.1,
    "embeddings": {"embedding_dim": 256, "scale": True, "dropout": 0.0}, "layer_norm": "pre", "activation": "relu",
}  # fmt: skip
TRAINING = {
    "optimizer": "adamw", "normalization": "tokens", "adam_betas": [0.9, 0.98], "scheduling": "warmupinversesquareroot",
    "learning_rate": 1e-3, "learning_rate_peak": 1e-3, "learning_rate_warmup": 40, "learning_rate_min": 0.0,
    "loss": "crossentropy", "weight_decay": 0.0, "label_smoothing": 0.1, "clip_grad_norm": 1.0,
    "batch_size": BATCH_TOKENS, "batch_type": "token", "early_stopping_metric": "bleu", "epochs": 1_000,
    "validation_freq": 1_000_000, "logging_freq": 1, "overwrite": False, "shuffle": True, "keep_best_ckpts": 1,
}  # fmt: skip


def _paths(benchmark: str) -> tuple[Path, Path, str] | None:
    """(JoeyNMT's directory, the data's, a Python that can import it); None, and a sentence, if something is missing."""
    if (paths := given(benchmark, "JOEYNMT_DIR", "ENJA_DIR")) is None:
        return None
    python = os.environ.get("JOEYNMT_PYTHON") or sys.executable
    needs = "import joeynmt.training; from joeynmt.helpers import check_version; check_version()"
    tried = subprocess.run(
        [python, "-c", needs], cwd=paths[0], env=os.environ | {"PYTHONPATH": str(paths[0])},
        capture_output=True, text=True,
    )  # fmt: skip
    if tried.returncode:
        reason = (tried.stderr.strip().splitlines() or ["it failed"])[-1]
        print(f"{benchmark}: not run; {python} cannot import JoeyNMT ({reason}): install what its requirements.txt "
              "names, or set JOEYNMT_PYTHON to a Python that has it.")  # fmt: skip
        return None
    return paths[0], paths[1], python


class _Data:
    """The parallel text, its tokenizer, and the text as ids for JoeyNMT, in a folder."""

    def __init__(self, source: Path, folder: Path) -> None:
        from core.tokenizer import train_bpe

        self.source, self.folder = source, folder
        self.lines = {
            name: (source / name).read_text(encoding="utf-8").splitlines()
            for name in ("train.en", "train.ja", "dev.en", "dev.ja")
        }
        self.tokenizer = train_bpe(self.lines["train.en"] + self.lines["train.ja"], VOCABULARY)
        (folder / "tokenizer.json").write_text(self.tokenizer.to_json(), encoding="utf-8")
        for name, lines in self.lines.items():
            rows = self.tokenizer.encode_batch(lines)
            (folder / name).write_text("".join(" ".join(f"t{id}" for id in row) + "\n" for row in rows))
        (folder / "vocabulary.txt").write_text("".join(f"t{id}\n" for id in range(3, self.tokenizer.vocab_size)))

    def text(self, row: str) -> str:
        """What JoeyNMT wrote, as text."""
        return self.tokenizer.decode([int(word[1:]) for word in row.split() if word[1:].isdigit()])

    def bleu(self, hypotheses: Sequence[str]) -> tuple[float, str]:
        """BLEU over the words of the data, as they are split there, and its signature."""
        from core.evaluate.translation import bleu_score

        found = bleu_score(hypotheses, self.lines["dev.ja"], tokenize="none")
        return found.score, found.signature


def _joeynmt(code: Path, python: str, data: _Data, folder: Path, load: str = "") -> tuple[list[str], dict[str, str]]:
    """Its command line but for the mode, and the environment."""
    side = {"level": "word", "max_length": LENGTH, "lowercase": False, "normalize": False,
            "voc_file": str(data.folder / "vocabulary.txt")}  # fmt: skip
    settings: dict[str, Any] = {
        "name": "benchmark", "joeynmt_version": "2.3.0", "model_dir": str(folder / "model"), "use_cuda": False,
        "data": {
            "train": str(data.folder / "train"), "dev": str(data.folder / "dev"), "dataset_type": "plain",
            "src": {"lang": "en", **side}, "trg": {"lang": "ja", **side},
        },
        "testing": {"beam_size": BEAMS, "beam_alpha": 1.0, "batch_size": 2_048, "batch_type": "token", "n_best": 1,
                    "max_output_length": 80, "eval_metrics": ["bleu"], "sacrebleu_cfg": {"tokenize": "none"}},
        "training": TRAINING,
        "model": {"initializer": "xavier_uniform", "embed_initializer": "xavier_uniform", "embed_init_gain": 1.0,
                  "init_gain": 1.0, "bias_initializer": "zeros", "tied_embeddings": True, "tied_softmax": True,
                  "encoder": SHAPE, "decoder": SHAPE},
    }  # fmt: skip
    if load:
        settings["testing"]["load_model"] = load
    path = folder / "config.yaml"
    path.write_text(json.dumps(settings))  # JSON is YAML, but for numbers such as 1e-05
    environment = {"PYTHONPATH": str(code), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return [python, "-m", "joeynmt", "{mode}", str(path)], environment


def _trainer(code: Path, python: str, data: _Data, folder: Path) -> Racer:
    """JoeyNMT's training. It prints the target tokens per second of each step, end tokens included, padding not."""
    command, environment = _joeynmt(code, python, data, folder)
    done = 0.0

    def count(line: str, seconds: float) -> float | None:
        nonlocal done
        if "Tokens per Sec:" not in line:
            return None
        done += seconds * float(line.split("Tokens per Sec:")[1].split(",")[0])
        return done

    return Racer([part.format(mode="train") for part in command] + ["--skip-test"], count, folder, environment)


def _config(data: _Data, overrides: Sequence[str]) -> Any:
    """Our preset for this data at the same shape, vocabulary and batch, on the lines as they are."""
    from core.presets import preset

    source = data.source
    return preset("transformer-enja").with_overrides([
        f"tokenizer.path={data.folder / 'tokenizer.json'}", f"train.batch_tokens={BATCH_TOKENS}",
        f"model.max_seq_len={LENGTH}", "model.dropout=0.1", "data.pretokenized=false", "train.log_every=1",
        f"data.src={source / 'train.en'}", f"data.tgt={source / 'train.ja'}",
        f"data.val_src={source / 'dev.en'}", f"data.val_tgt={source / 'dev.ja'}",
        "data.name=", *NO_EXTRAS, *overrides,
    ])  # fmt: skip


def _ours(config: Any, folder: Path) -> Racer:
    """Our training; metrics.jsonl tells the target tokens so far, end tokens included, padding not."""
    from core.files import read_jsonl
    from core.run import create_run

    run = create_run(config, "ours", folder)

    def count(line: str, seconds: float) -> float | None:
        if not line.startswith("step ") or "  loss " not in line:
            return None
        told = [record["tokens"] for record in read_jsonl(run / "metrics.jsonl") if "tokens" in record]
        return float(told[-1]) if told else None

    program = "import sys, pathlib, core.train.loop as loop; loop.train(pathlib.Path(sys.argv[1]), echo=print)"
    return Racer(
        [sys.executable, "-c", program, str(run)], count, HERE, {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    )


def speed() -> list[Row]:
    """Target tokens per second: 3+3 layers, 256 wide, 1,024 feed-forward, 8 heads, vocabulary 8,000, 4,096-token
    batches; stretches of 25 s in turn, best and median of four."""
    if (paths := _paths("joeynmt")) is None:
        return []
    code, source, python = paths
    with (
        tempfile.TemporaryDirectory() as shared,
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as two,
    ):
        data = _Data(source, Path(shared))
        racers = [
            _ours(_config(data, ["train.max_steps=1000000"]), Path(one)), _trainer(code, python, data, Path(two)),
        ]  # fmt: skip
        try:
            (best, median), (peer_best, peer_median) = alternate(racers, seconds=25, rounds=4)
        finally:
            for racer in racers:
                racer.end()
    rates = [racer.processor_rate() for racer in racers]
    return [
        Row("train en-ja 3+3 layers, best", "target tokens/s", best, peer_best, "JoeyNMT"),
        Row("... median", "target tokens/s", median, peer_median, "JoeyNMT"),
        Row("... of processor time", "target tokens/s", *rates, "JoeyNMT", note="of one core's second; all stretches"),
    ]


def bleu() -> list[Row]:
    """BLEU of the 500 dev pairs, beam 5, after JOEYNMT_SECONDS (300) of training each, start included, in turns."""
    if (paths := _paths("joeynmt-bleu")) is None:
        return []
    code, source, python = paths
    with (
        tempfile.TemporaryDirectory() as shared,
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as two,
    ):
        data = _Data(source, Path(shared))
        steps = _our_steps(data)
        config = _config(data, [f"train.max_steps={steps}"])
        racers = [_ours(config, Path(one)), _trainer(code, python, data, Path(two))]
        try:
            while any(racer.seconds < SECONDS and not racer.is_over for racer in racers):
                for racer in racers:
                    racer.run(min(15.0, max(0.0, SECONDS - racer.seconds)))
                    racer.check()
            racers[1].end(signal.SIGINT)  # it then writes its last weights
            spent = [racer.seconds for racer in racers]
            if not racers[0].is_over:  # it was to be done by now: it ends with this step and its validation
                (Path(one) / "ours" / "stop").touch()
                racers[0].run(600)
                racers[0].check()
        finally:
            for racer in racers:
                racer.end()
        mine, signature = data.bleu(_translations(data, Path(one)))
        peer, _ = data.bleu(_joeynmt_translations(code, python, data, Path(two)))
    note = f"{racers[0].seconds:.0f} s and {spent[1]:.0f} s; beam {BEAMS}; {signature}"
    return [
        Row("en-ja, BLEU after the same time", "BLEU", mine, peer, "JoeyNMT", note=note),
        Row("... target tokens seen", "tokens", racers[0].done, racers[1].done, "JoeyNMT"),
    ]


def _our_steps(data: _Data) -> int:
    """As many steps as take 95% of the time, by a trial: start and validation are left room for."""
    with tempfile.TemporaryDirectory() as folder:
        racer = _ours(_config(data, ["train.max_steps=1000000"]), Path(folder))
        try:
            ((_, rate),) = alternate([racer], seconds=12, rounds=2)
            begins, per_step = racer.marks[0][0], racer.done / len(racer.marks)
        finally:
            racer.end()
    return max(1, int((0.95 * SECONDS - begins - 5) * rate / per_step))


def _translations(data: _Data, folder: Path) -> list[str]:
    from core.decode import GenerationConfig
    from core.evaluate.translation import translate_all
    from core.run import load

    settings = GenerationConfig(strategy="beam", num_beams=BEAMS, max_new_tokens=80)
    return translate_all(load(str(folder / "ours")), data.lines["dev.en"], settings)


def _joeynmt_translations(code: Path, python: str, data: _Data, folder: Path) -> list[str]:
    """By its own `test` mode, from the weights that it wrote when it was interrupted."""
    last = max((folder / "model").glob("[0-9]*.ckpt"), key=lambda path: int(path.stem))
    command, environment = _joeynmt(code, python, data, folder, load=str(last))
    done = subprocess.run(
        [*(part.format(mode="test") for part in command), "-o", str(folder / "out")], cwd=folder,
        env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"JoeyNMT could not translate:\n{done.stderr[-2000:]}")
    return [data.text(line) for line in (folder / "out.dev").read_text(encoding="utf-8").splitlines()]
