"""Translating a test set, from texts to texts: what `llm-scratch eval` and `translate --input` do, beside what a person
writes with transformers, with the very same weights and tokenizer."""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tests.benchmarks.measure import SETTLE, Row

SENTENCES = 2_000
BEAMS = 5
ROUNDS = 2  # the candidates take turns; each one's better round counts
TOGETHER = 32  # sentences of a batch of the peer's


def test_set(count: int = SENTENCES) -> list[str]:
    """English sentences of the built-in grammar, of 3 to about 30 tokens, in no order."""
    from core.data.grammar import enja_corpus

    return [pair.src for pair in enja_corpus(count, 7).train[:count]]


def evaluation(count: int = SENTENCES, clock: Callable[[], float] = time.perf_counter) -> list[Row]:
    """enja-transformer (3+3 layers, 256 wide) with 5 beams."""
    import tqdm
    import transformers

    from core.evaluate.translation import translate_all
    from core.model.hf_export import export_pretrained
    from core.run import load

    tqdm.tqdm.monitor_interval = 0  # its thread would stay, and only what has no other thread is forked (as `eval` is)
    sources = test_set(count)
    run = load("enja-transformer")
    with tempfile.TemporaryDirectory() as folder:
        export_pretrained(run, Path(folder) / "peer")
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(Path(folder) / "peer"))
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(str(Path(folder) / "peer")).eval()
    kind = type(model).__name__.removesuffix("ForConditionalGeneration").removesuffix("MTModel")
    found: dict[str, list[str]] = {}

    def peer(texts: Sequence[str]) -> list[str]:
        written = []
        for start in range(0, len(texts), TOGETHER):
            batch = tokenizer(list(texts[start : start + TOGETHER]), return_tensors="pt", padding=True, truncation=True)
            with torch.inference_mode():
                ids = model.generate(
                    batch["input_ids"], attention_mask=batch["attention_mask"], num_beams=BEAMS, do_sample=False,
                    max_new_tokens=80, early_stopping=False, length_penalty=1.0,
                )  # fmt: skip
            written += tokenizer.batch_decode(ids, skip_special_tokens=True)
        return written

    def by_length(texts: Sequence[str]) -> list[str]:
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        written = dict(zip(order, peer([texts[place] for place in order]), strict=True))
        return [written[place] for place in range(len(texts))]

    candidates: dict[str, Callable[[Sequence[str]], list[str]]] = {
        "ours": lambda texts: translate_all(run, texts),
        f"{kind}, in file order": peer,
        f"{kind}, sorted by length": by_length,
    }
    best = dict.fromkeys(candidates, math.inf)  # seconds
    for translate in candidates.values():
        translate(sources[:TOGETHER])
    for _ in range(ROUNDS):
        for name, translate in candidates.items():
            time.sleep(SETTLE)
            began = clock()
            found[name] = translate(sources)
            best[name] = min(best[name], clock() - began)
    rates = {name: len(sources) / seconds for name, seconds in best.items()}
    same = sum(a == b.strip() for a, b in zip(found["ours"], found[f"{kind}, in file order"], strict=True))
    note = f"{same / len(sources):.1%} of the translations are the same"
    return [
        Row(f"evaluate {count:,}, beam {BEAMS}", "sentences/s", rates["ours"], rates[name], name, note=note)
        for name in list(candidates)[1:]
    ]
