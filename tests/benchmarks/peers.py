"""Training against nanoGPT, both from their command lines, in turns on one machine.

nanoGPT is fetched by whoever runs this: NANOGPT_DIR names its directory, SHAKESPEARE_FILE tiny Shakespeare's input.txt.
Nothing is written into that directory. It runs as published, with the settings that its README gives for a CPU.
"""

import importlib.util
import math
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.measure import Row
from tests.benchmarks.race import Racer, alternate, steps_of, to_the_end

HERE = Path(__file__).parents[2]
WHAT = {
    "NANOGPT_DIR": "a directory with nanoGPT's code (github.com/karpathy/nanoGPT)",
    "SHAKESPEARE_FILE": "tiny Shakespeare's input.txt",
    "JOEYNMT_DIR": "a directory with JoeyNMT's code (github.com/joeynmt/joeynmt)",
    "ENJA_DIR": "a directory with train.en, train.ja, dev.en and dev.ja (small_parallel_enja)",
}
ITERATIONS, BLOCK, ROWS = 2_000, 64, 12
TRIALS = 3  # further runs of ours, if one takes longer than nanoGPT's
CPU_SETTINGS = [
    "config/train_shakespeare_char.py", "--device=cpu", "--compile=False", "--eval_iters=20", "--log_interval=1",
    f"--block_size={BLOCK}", f"--batch_size={ROWS}", "--n_layer=4", "--n_head=4", "--n_embd=128",
    f"--max_iters={ITERATIONS}", f"--lr_decay_iters={ITERATIONS}", "--dropout=0.0",
]  # fmt: skip
# Our best for about two minutes on two cores (docs/TRAINING.md): words' pieces instead of characters, so that a step
# sees three times the text; rotary positions; Muon; many small steps, and a learning rate that falls to nothing.
FREE = (
    "model.family=llama", "model.d_model=192", "model.n_layers=4", "model.n_heads=6", "model.max_seq_len=128",
    "tokenizer.kind=bpe", "tokenizer.vocab_size=2048", "train.batch_tokens=1024", "optim.optimizer=muon",
    "optim.learning_rate=4e-3", "optim.schedule=linear", "optim.warmup_steps=20", "optim.min_lr_ratio=0",
)  # fmt: skip
# What its validations cost, in iterations: forward passes, of which three take about as long as an iteration.
EVALUATIONS = (ITERATIONS // 250 + 1) * 2 * 20 / 3
NO_EXTRAS = ("train.sample_every=0", "train.snapshots=0", "train.val_every=1000000", "train.checkpoint_every=1000000")


def given(benchmark: str, *names: str) -> list[Path] | None:
    """The paths that these environment variables name; None, and a sentence, if one is missing."""
    lacking = [name for name in names if not os.environ.get(name)]
    if lacking:
        print(f"{benchmark}: not run; set " + " and ".join(f"{name} to {WHAT[name]}" for name in lacking) + ".")
        return None
    paths = [Path(os.environ[name]).expanduser().resolve() for name in names]
    for name, path in zip(names, paths, strict=True):
        if not path.exists():
            print(f"{benchmark}: not run; {name} names {path}, which is not there.")
            return None
    return paths


# ------------------------------------------------------------------------------------------------ both sides


def shakespeare(path: Path) -> tuple[str, str]:
    """The first nine tenths to train on, the rest to validate on: nanoGPT's split, and that of data.val_fraction."""
    text = path.read_text(encoding="utf-8")
    return text[: int(len(text) * 0.9)], text[int(len(text) * 0.9) :]


def nanogpt(code: Path, text: Path, folder: Path, settings: Sequence[str]) -> Racer:
    """nanoGPT's train.py in a folder of its own that links to its code and has its data."""
    for name in ("train.py", "model.py", "configurator.py", "config"):
        (folder / name).symlink_to(code / name)
    data = folder / "data" / "shakespeare_char"
    data.mkdir(parents=True)
    train, val = shakespeare(text)
    ids = {char: i for i, char in enumerate(sorted(set(train + val)))}
    np.array([ids[char] for char in train], dtype=np.uint16).tofile(data / "train.bin")
    np.array([ids[char] for char in val], dtype=np.uint16).tofile(data / "val.bin")
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(ids)}))  # the format that its train.py reads
    return Racer(
        [sys.executable, "train.py", *settings], steps_of(r"^iter (\d+): loss", ROWS * BLOCK), folder,
        env={"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )  # fmt: skip


def ours(config: Any, directory: Path, tokens: float) -> Racer:
    """Our training in an empty folder's run `ours`; tokens: of a step."""
    from core.run import create_run

    run = create_run(config, "ours", directory)
    program = "import sys, pathlib, core.train.loop as loop; loop.train(pathlib.Path(sys.argv[1]), echo=print)"
    return Racer([sys.executable, "-c", program, str(run)], steps_of(r"^step +([\d,]+)/[\d,]+  loss", tokens), HERE,
                 env={"OMP_NUM_THREADS": str(torch.get_num_threads())})  # fmt: skip


def nanogpt_loss(code: Path, folder: Path) -> tuple[float, str]:
    """(loss per character over the whole validation part, its own last estimate) of what it wrote into the folder.

    In blocks of its context: all characters but the first of the text are predicted, each from 1 to 64 before it.
    """
    spec = importlib.util.spec_from_file_location("nanogpt_model", code / "model.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    state = torch.load(folder / "out-shakespeare-char" / "ckpt.pt", map_location="cpu", weights_only=True)
    model = module.GPT(module.GPTConfig(**state["model_args"]))
    model.load_state_dict(state["model"])
    model.eval()
    size = state["model_args"]["block_size"]
    ids = np.fromfile(folder / "data" / "shakespeare_char" / "val.bin", dtype=np.uint16).astype(np.int64)
    total, count = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(ids) - 1, size):
            x, y = ids[start : start + size], ids[start + 1 : start + 1 + size]
            x = x[: len(y)]
            _, loss = model(torch.from_numpy(x)[None], torch.from_numpy(y)[None])
            total, count = total + float(loss) * len(y), count + len(y)
    return total / count, f"its estimate {float(state['best_val_loss']):.3f}"


def our_loss(directory: Path, text: Path) -> float:
    """Nats per character over the whole validation part, in blocks of the model's context, each from its start."""
    from core.evaluate import evaluate
    from core.run import load

    val = shakespeare(text)[1]
    scores = evaluate(load(str(directory / "ours")), documents=[val])
    return float(scores["bits_per_byte"]) * math.log(2) * scores["bytes"] / len(val)


def same_configuration(text: Path, overrides: Sequence[str] = ()) -> Any:
    from core.presets import preset

    return preset("nanogpt-cpu").with_overrides([f"data.name={text}", *overrides])


# ------------------------------------------------------------------------------------------------ benchmarks


def speed() -> list[Row]:
    """Tokens per second at nanoGPT's CPU configuration, stretches of 12 s in turn, best and median of five."""
    if (paths := given("nanogpt", "NANOGPT_DIR", "SHAKESPEARE_FILE")) is None:
        return []
    code, text = paths
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        endless = [*CPU_SETTINGS, "--max_iters=1000000", "--eval_interval=1000000", "--eval_iters=1"]
        config = same_configuration(text, ["train.max_steps=1000000", *NO_EXTRAS])
        racers = [ours(config, Path(one), ROWS * BLOCK), nanogpt(code, text, Path(two), endless)]
        try:
            (best, median), (peer_best, peer_median) = alternate(racers, seconds=12, rounds=5)
        finally:
            for racer in racers:
                racer.end()
    rates = [racer.processor_rate() for racer in racers]
    return [
        Row("train, nanoGPT's CPU shape, best", "tokens/s", best, peer_best, "nanoGPT"),
        Row("... median", "tokens/s", median, peer_median, "nanoGPT"),
        Row("... of processor time", "tokens/s", *rates, "nanoGPT", note="of one core's second; all stretches"),
    ]


def loss() -> list[Row]:
    """A whole run each of nanoGPT's CPU configuration, in turns of 10 s: seconds, and the validation loss."""
    return _whole_runs("nanogpt-loss", "nanoGPT's CPU shape", same_configuration, free=False)


def free_configuration() -> list[Row]:
    """Our best configuration for the time that nanoGPT's whole run takes, start and validation included."""
    return _whole_runs(
        "shakespeare-137s", "Shakespeare, nanoGPT's time", lambda text: same_configuration(text, FREE), free=True
    )


def _whole_runs(benchmark: str, name: str, config_for: Callable[[Path], Any], free: bool) -> list[Row]:
    if (paths := given(benchmark, "NANOGPT_DIR", "SHAKESPEARE_FILE")) is None:
        return []
    code, text = paths
    config = config_for(text)
    if free:
        steps = _steps_in_the_same_time(code, text, config)
        config = config.with_overrides([f"train.max_steps={steps}", *NO_EXTRAS])
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        racers = [ours(config, Path(one), config.train.batch_tokens), nanogpt(code, text, Path(two), CPU_SETTINGS)]
        try:
            to_the_end(racers)
        finally:
            for racer in racers:
                racer.end()
        peer, estimate = nanogpt_loss(code, Path(two))
        mine, seconds, limit = our_loss(Path(one), text), racers[0].seconds, racers[1].seconds
    for _ in range(TRIALS if free else 0):
        if seconds <= limit:
            break
        # The trial was too hopeful: again, in full, with as many steps as would have been right.
        config = config.with_overrides([f"train.max_steps={int(0.95 * config.train.max_steps * limit / seconds)}"])
        mine, seconds = _alone(config, text)
    note = f"{mine:.4f} against {peer:.4f}; {config.train.max_steps:,} steps; {estimate}; lower is better"
    return [
        Row(f"{name}, loss", "nats/character", mine, peer, "nanoGPT", note=note),
        Row("... a whole run", "seconds", seconds, limit, "nanoGPT", note="from start to end"),
    ]


def _alone(config: Any, text: Path) -> tuple[float, float]:
    """Loss and seconds of a whole run of ours."""
    with tempfile.TemporaryDirectory() as folder:
        racer = ours(config, Path(folder), config.train.batch_tokens)
        try:
            to_the_end([racer])
        finally:
            racer.end()
        return our_loss(Path(folder), text), racer.seconds


def _steps_in_the_same_time(code: Path, text: Path, config: Any) -> int:
    """As many steps of ours as take 92% of the time of nanoGPT's whole run, by the speeds of both, measured in turn."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        trial = config.with_overrides(["train.max_steps=1000000", *NO_EXTRAS])
        racers = [ours(trial, Path(one), 1), nanogpt(code, text, Path(two), CPU_SETTINGS)]
        try:
            (_, mine), (_, peer) = alternate(racers, seconds=6, rounds=5)
            begins = [racer.marks[0][0] for racer in racers]
        finally:
            for racer in racers:
                racer.end()
    peer_seconds = begins[1] + (ITERATIONS + EVALUATIONS) * ROWS * BLOCK / peer
    validation = len(shakespeare(text)[1]) / config.train.batch_tokens / 3 / mine
    return max(1, int((0.92 * peer_seconds - begins[0] - validation) * mine))
