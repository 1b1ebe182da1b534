"""Why the defaults are what they are: a preset trained as it is, and with one setting changed at a time.

    python -m tests.benchmarks.defaults [text] [translation]

On built-in data, so that anyone can run it; prints the tables of docs/TRAINING.md. Every run has the same seed, data,
order of batches and number of steps. The second line of a table is the preset again with another seed: differences no
larger than that mean nothing. One thread each, so that the two tables can be made side by side.
"""

import math
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from core.config import RunConfig
from core.files import read_jsonl
from core.presets import preset
from core.run import create_run

SEEDS = (("another seed", ["seed=1"]),)
TEXT = (
    preset("llama-pydocs"),
    [
        "model.d_model=128", "model.n_layers=4", "model.n_heads=4", "model.n_kv_heads=2", "model.max_seq_len=128",
        "model.dropout=0", "tokenizer.vocab_size=1024", "train.batch_tokens=2048", "train.max_steps=240",
        "train.val_every=60", "optim.warmup_steps=24", "train.ema_decay=0.98", "train.threads=1",
    ],
    (
        *SEEDS,
        ("AdamW, learning rate 0.002", ["optim.optimizer=adamw"]),
        ("Muon, learning rate 0.04", ["optim.muon_learning_rate=0.04"]),
        ("AdamW's part at learning rate 0.004", ["optim.learning_rate=0.004"]),
        ("... and warm-up, stable, decay", ["optim.learning_rate=0.004", "optim.schedule=wsd"]),
        ("no warm-up", ["optim.warmup_steps=0"]),
        ("schedule: warm-up, stable, decay", ["optim.schedule=wsd"]),
        ("schedule: linear", ["optim.schedule=linear"]),
        ("schedule: 1 / sqrt(step)", ["optim.schedule=inverse_sqrt"]),
        ("schedule: constant", ["optim.schedule=constant"]),
        ("no average of the weights", ["train.ema_decay=0"]),
        ("mean of the last 3 validations", ["train.ema_decay=0", "train.average_last=3", "train.val_every=20"]),
        ("embeddings not tied", ["model.tie_embeddings=false"]),
        ("initialisation without the depth", ["without depth"]),
        ("dropout 0.1", ["model.dropout=0.1"]),
    ),
)  # fmt: skip
TRANSLATION = (
    preset("demo"),
    [
        "optim.schedule=cosine", "train.score_examples=200", "train.val_every=60", "train.ema_decay=0.97",
        "train.threads=1",
    ],
    (
        *SEEDS,
        ("AdamW, learning rate 0.001", ["optim.optimizer=adamw", "optim.learning_rate=0.001"]),
        ("AdamW, learning rate 0.003", ["optim.optimizer=adamw"]),
        ("schedule: warm-up, stable, decay", ["optim.schedule=wsd"]),
        ("schedule: 1 / sqrt(step)", ["optim.schedule=inverse_sqrt"]),
        ("no average of the weights", ["train.ema_decay=0"]),
        ("mean of the last 3 validations", ["train.ema_decay=0", "train.average_last=3", "train.val_every=20"]),
        ("label smoothing 0.1", ["train.label_smoothing=0.1"]),
        ("normalisation after the addition", ["model.norm_position=post"]),
    ),
)  # fmt: skip


@contextmanager
def initialised_without_depth():
    """Matrices that write into the residual stream start as large as the others."""
    from core.model.base import LanguageModel

    usual = LanguageModel.initialise

    def initialise(model: LanguageModel) -> None:
        usual(model)
        writes = {"decoder": model.config.n_layers * (3 if model.is_encoder_decoder else 2)}
        writes["encoder"] = 2 * max(1, model.config.n_encoder_layers)
        for name, parameter in model.named_parameters():
            if name.endswith((".out.weight", ".down.weight")):
                parameter.data *= math.sqrt(writes["encoder" if name.startswith("encoder_") else "decoder"])

    LanguageModel.initialise = initialise  # type: ignore[method-assign]
    try:
        yield
    finally:
        LanguageModel.initialise = usual  # type: ignore[method-assign]


def measure(base: RunConfig, overrides: list[str], directory: Path) -> dict[str, float]:
    """Train, and return the best validation line with the seconds it took."""
    from core.train.loop import train

    settings = [o for o in overrides if "=" in o]
    config = base.with_overrides(
        ["train.sample_every=0", "train.snapshots=0", "train.checkpoint_every=100000", *settings]
    )
    run = create_run(config, "run", directory)
    began = time.perf_counter()
    if "without depth" in overrides:
        with initialised_without_depth():
            train(run)
    else:
        train(run)
    lines = [line for line in read_jsonl(run / "metrics.jsonl") if "val_loss" in line]
    best = min(lines, key=lambda line: line["val_loss"])
    return {**best, "last_bleu": lines[-1].get("bleu", 0.0), "took": time.perf_counter() - began}


def table(title: str, base: RunConfig, common: list[str], variants: tuple) -> None:
    base = base.with_overrides(common)
    pairs = base.model.family == "transformer"
    columns = ["loss a token", "BLEU, chrF"] if pairs else ["loss a token", "bits per byte"]
    print(f"\n{title}: {' '.join(common)}\n\n| | {' | '.join(columns)} | seconds |\n|---|---|---|---|", flush=True)
    for name, overrides in (("the preset", []), *variants):
        with tempfile.TemporaryDirectory() as folder:
            found = measure(base, list(overrides), Path(folder))
        second = f"{found['bleu']:.1f}, {found['chrf']:.1f}" if pairs else f"{found['val_bits_per_byte']:.3f}"
        print(f"| {name} | {found['val_loss']:.3f} | {second} | {found['took']:.0f} |", flush=True)


def main(names: list[str]) -> None:
    for name in names or ["text", "translation"]:
        title, (base, common, variants) = {
            "text": ("text (llama-pydocs, smaller)", TEXT),
            "translation": ("translation (demo)", TRANSLATION),
        }[name]
        table(title, base, common, variants)


if __name__ == "__main__":
    main(sys.argv[1:])
