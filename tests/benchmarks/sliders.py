"""The next token by hand: how long a slider's answer takes beside one forward pass of the same model.

An answer is all that the page's handler does: processors on the whole vocabulary, the figure, the table. The model is
not asked again.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from tests.benchmarks.measure import Row, best_rates

BUNDLED = ("enja-transformer", "shakespeare-gpt", "pydocs-llama")
PROMPT = "The function returns what light is this, and where is the station?"
CALLS = 5  # in a round
SETTINGS = {
    "top_k": 50, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.95, "repetition_penalty": 1.2, "presence_penalty": 0.1,
    "frequency_penalty": 0.1, "how": "drawn", "find": "the",
}  # fmt: skip


def gpt2_run(folder: Path) -> str:
    """A run of GPT-2's shape and vocabulary, with random weights. Its tokenizer knows fewer tokens: the others have
    numbers for names."""
    from core.config import RunConfig
    from core.files import write_text
    from core.run import Status, create_run, save_model
    from core.tokenizer import train_bpe
    from tests.benchmarks.decode import gpt2_124m

    model = gpt2_124m()
    shape = {name: getattr(model.config, name) for name in ("family", "vocab_size", "d_model", "n_layers", "n_heads")}
    config = RunConfig.from_dict({"model": shape | {"max_seq_len": 1_024}, "data": {"name": "notes.txt"}})
    directory = create_run(config, "gpt2-124m", folder)
    write_text(directory / "tokenizer.json", train_bpe([PROMPT] * 4, 300).to_json())
    save_model(model, directory / "model.safetensors")
    Status(state="done").write(directory)
    return "gpt2-124m"


def answers(name: str) -> tuple[Callable[[], object], Callable[[], object], str]:
    """A slider moved CALLS times, to another place each time; as many forward passes, reading the prompt and, where
    there is a source, writing the first token; and what is compared."""
    from core.decode.cursor import cursor_at
    from playground.models import get_run
    from playground.tabs.decoding import next_token
    from playground.tabs.decoding.next_token import Written
    from playground.tabs.decoding.work import Work

    run, work = get_run(name), Work(name, PROMPT)
    moved = [0]

    def slide() -> None:
        for _ in range(CALLS):
            moved[0] += 1
            settings = json.dumps(SETTINGS | {"temperature": 0.5 + moved[0] % 20 / 20})
            shown = json.loads(next_token.draw_next(work, Written(), settings))
            assert shown["figure"] and not shown["message"], shown["message"]

    def read() -> None:
        for _ in range(CALLS):
            assert len(cursor_at(run, PROMPT).logits) == run.config.model.vocab_size

    slide()  # the place is known from here on, as it is on the page
    return slide, read, f"{run.config.model.vocab_size:,} tokens"


def sliders() -> list[Row]:
    rows = []
    before = os.environ.get("RUNS_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RUNS_DIR"] = folder
        try:
            for name in (*BUNDLED, gpt2_run(Path(folder))):
                slide, read, note = answers(name)
                with torch.inference_mode():
                    ours, peer = best_rates(CALLS, slide, read, rounds=5)
                told = f"{note}; {1000 / ours:.1f} ms"
                rows.append(Row(f"slider, {name}", "answers/s", ours, peer, "one reading of the prompt", note=told))
        finally:
            if before is None:
                os.environ.pop("RUNS_DIR")
            else:
                os.environ["RUNS_DIR"] = before
    return rows
