"""How a preview counts: see preview.py for what it tells."""

import random
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.corpus import Corpus
from core.data.preview import Example, Finding, Lengths, Part, Preview
from core.data.ragged import buckets

if TYPE_CHECKING:
    from core.config import RunConfig
    from core.tokenizer import Tokenizer

_SHOWN = 1_000  # characters of an example
_BINS = 20
_FAR = 4.0  # times as long, or as short, as pairs of this set usually are
_LONG = 20  # characters from which such a length is no accident


def examine(
    config: "RunConfig", runs_dir: Path | None = None, examples: int = 4, limit: int = 0, seed: int = 0
) -> tuple[Preview, "Tokenizer"]:
    """`preview`, of everything unless `limit` is given, with the tokenizer that was trained for it."""
    from core.data.sources import is_stream, load_corpus
    from core.data.token_cache import TokenCache
    from core.run import default_runs_dir
    from core.tokenizer import load_tokenizer, with_control_tokens

    began = time.monotonic()
    pairs = config.model.family == "transformer"
    corpus = load_corpus(config.data, "pairs" if pairs else "text", seed=config.seed)
    cache = TokenCache.beside(runs_dir or default_runs_dir())
    chosen = _Sample(corpus, limit, config.seed)
    if config.tokenizer.path:
        tokenizer = with_control_tokens(load_tokenizer(config.tokenizer.path), pad=pairs)  # as in training
    else:
        tokenizer = cache.train(config.tokenizer, chosen.texts())
    end = (
        None if pairs or chosen.one_piece else (tokenizer.eos_id or 0)
    )  # as in training, so that the ids are kept for it
    ids = {name: cache.encode(tokenizer, texts, end) for name, texts in chosen.columns.items()}
    lengths = {name: rows.lengths - (end is not None) for name, rows in ids.items()}
    findings = _findings(corpus, chosen, lengths, config)
    steps, tokens_per_step = _steps(chosen, lengths, config)
    streaming = is_stream(config.data)
    if streaming:  # its length is not known, unless it is limited
        if not pairs:  # every batch is full
            micro = max(1, config.train.batch_tokens // config.train.accumulate)
            block = config.model.max_seq_len
            tokens_per_step = max(1, micro // block) * block * config.train.accumulate
        steps = config.data.max_tokens / tokens_per_step if tokens_per_step else 0.0
    made = Preview(
        kind=corpus.kind,
        description=corpus.description,
        train=_part(corpus.train, pairs, sum(int(n.sum()) for n in lengths.values()) * chosen.scale),
        val=_counted(corpus.val, pairs, chosen, cache, tokenizer),
        test=_counted(corpus.test, pairs, chosen, cache, tokenizer),
        examples=_examples(corpus, tokenizer, examples, seed),
        lengths=_lengths(chosen, lengths, tokenizer),
        characters_per_token=tuple(
            (name, round(sum(map(len, chosen.columns[name])) / max(1, int(lengths[name].sum())), 3)) for name in ids
        ),
        findings=findings,
        documents=corpus.documents,
        vocabulary=tokenizer.vocab_size,
        context=config.model.max_seq_len,
        tokens_per_step=tokens_per_step,
        steps_per_epoch=round(steps, 2),
        epochs=round(config.train.max_steps / steps, 3) if steps else 0.0,
        sampled=len(chosen.items) if chosen.scale > 1 else 0,
        streaming=streaming,
        seconds=round(time.monotonic() - began, 2),
    )
    return made, tokenizer


class _Sample:
    """The training examples that are turned into ids: all of them, or so many that hold `limit` characters."""

    def __init__(self, corpus: Corpus, limit: int, seed: int) -> None:
        self.pairs = corpus.kind == "pairs"
        self.items = corpus.train
        self.scale = 1.0
        total = _characters(corpus.train, self.pairs)
        if limit and total > limit:
            if len(corpus.train) == 1:  # a text in one piece: sixteen cuttings of it
                text, cut = corpus.train[0], max(1, limit // 16)
                self.items = [text[at : at + cut] for at in [(len(text) - cut) * i // 15 for i in range(16)]]
            else:
                order = list(range(len(corpus.train)))
                random.Random(f"preview-{seed}").shuffle(order)
                chosen, characters = [], 0
                for index in order:
                    chosen.append(index)
                    characters += _characters([corpus.train[index]], self.pairs)
                    if characters >= limit:
                        break
                self.items = [corpus.train[index] for index in sorted(chosen)]
            self.scale = total / max(1, _characters(self.items, self.pairs))
        if self.pairs:
            self.columns = {"source": [p.src for p in self.items], "target": [p.tgt for p in self.items]}
        else:
            self.columns = {"text": list(self.items)}
        self.whole = corpus if self.scale == 1 else None
        self.one_piece = not self.pairs and len(corpus.train) == 1

    def texts(self) -> list[str]:
        """What a tokenizer is trained on; of a set that is not sampled in the order that training takes."""
        return self.whole.texts() if self.whole else [text for column in self.columns.values() for text in column]


def _characters(items: list, pairs: bool) -> int:
    return sum(len(item.src) + len(item.tgt) for item in items) if pairs else sum(map(len, items))


def _part(items: list, pairs: bool, tokens: float) -> Part:
    return Part(len(items), round(tokens), _characters(items, pairs))


def _counted(items: list, pairs: bool, chosen: _Sample, cache: Any, tokenizer: "Tokenizer") -> Part:
    """Validation data is small, and is counted; where the training data is only sampled, it is estimated too."""
    characters = _characters(items, pairs)
    texts = [text for item in items for text in (item.src, item.tgt)] if pairs else items
    limit = sum(map(len, texts)) if chosen.scale == 1 else _characters(chosen.items, pairs) // 4
    kept, seen = [], 0
    for text in texts:
        if seen >= limit:
            break
        kept.append(text[: limit - seen])
        seen += len(kept[-1])
    tokens = len(cache.encode(tokenizer, kept).ids) if kept else 0
    return _part(items, pairs, tokens * characters / max(1, seen))


def _findings(
    corpus: Corpus, chosen: _Sample, lengths: dict[str, np.ndarray], config: "RunConfig"
) -> tuple[Finding, ...]:
    """What is left out, and what should be looked at."""
    total = max(1, len(corpus.train) + sum(corpus.dropped.values()))
    scale, estimated = chosen.scale, chosen.scale > 1

    def finding(what: str, count: float, left_out: bool, estimated: bool = False) -> Finding:
        return Finding(what, round(count), round(min(1.0, count / total), 4), left_out, estimated)

    def some(count: int) -> tuple[float, float]:
        return count * scale, count / max(1, len(chosen.items))

    found = [finding(why, count, True) for why, count in corpus.dropped.items()]
    odd: dict[str, tuple[float, float]] = {}  # how many, and which share
    if chosen.pairs:
        longest = np.maximum(lengths["source"], lengths["target"])
        long = int((longest >= config.model.max_seq_len).sum())
        what = f"longer than the context of {config.model.max_seq_len} tokens"
        found.append(finding(what, long * scale, True, estimated))
        items = chosen.items
        odd["source and target are the same"] = some(sum(p.src.casefold() == p.tgt.casefold() for p in items))
        sizes = np.array([(len(p.src), len(p.tgt)) for p in items], dtype=np.float64).reshape(-1, 2)
        ratio = np.log(np.maximum(sizes[:, 1], 1) / np.maximum(sizes[:, 0], 1))
        far = np.abs(ratio - np.median(ratio)) > np.log(_FAR) if len(ratio) else np.zeros(0, bool)
        far &= sizes.max(axis=1, initial=0) >= _LONG
        odd[f"one side over {_FAR:.0f} times as long as usual for the other"] = some(int(far.sum()))
        if not config.data.pretokenized:  # else each pair is there in several forms
            again = Counter(p.src for p in corpus.train)
            several = sum(count for count in again.values() if count > 1)
            odd["a source that has several targets"] = several, several / max(1, len(corpus.train))
    else:
        empty = sum(text.count("\n\n") for text in chosen.items)
        lines = sum(text.count("\n") + 1 for text in chosen.items)
        odd["empty lines inside of texts"] = empty * scale, empty / max(1, lines)
    broken = sum("\ufffd" in text for column in chosen.columns.values() for text in column)
    odd["broken characters (U+FFFD), as of a wrong encoding"] = some(broken)
    found = [f for f in found if f.count]
    found.sort(key=lambda f: -f.count)
    looked = [
        Finding(what, round(n), round(min(1.0, share), 4), False, estimated) for what, (n, share) in odd.items() if n
    ]
    return (*found, *sorted(looked, key=lambda f: -f.count))


def _lengths(chosen: _Sample, lengths: dict[str, np.ndarray], tokenizer: "Tokenizer") -> tuple[Lengths, ...]:
    made = []
    for name, texts in chosen.columns.items():
        column: Any = name
        tokens = lengths[name].tolist()
        if chosen.one_piece:  # its length is one number: those of its lines say more
            column = "line"
            texts = list(islice((line for text in texts for line in text.split("\n") if line.strip()), 50_000))
            tokens = [len(row) for row in tokenizer.encode_batch(texts)]
        made += [_distribution(column, "tokens", tokens), _distribution(column, "characters", list(map(len, texts)))]
    return tuple(made)


def _distribution(column: Any, unit: Any, values: list[int]) -> Lengths:
    sizes = np.array(values or [0], dtype=np.int64)
    least, median, p95, high, most = (int(q) for q in np.quantile(sizes, [0, 0.5, 0.95, 0.99, 1], method="higher"))
    width = -(-(high + 1 - least) // _BINS)
    edges = np.arange(least, high + 1 + width, width)
    if most > edges[-1]:
        edges = np.append(edges, most)
    counts, _ = np.histogram(sizes, edges)
    return Lengths(
        column, unit, least, median, p95, most, round(float(sizes.mean()), 2),
        tuple(edges.tolist()), tuple(counts.tolist()),
    )  # fmt: skip


def _examples(corpus: Corpus, tokenizer: "Tokenizer", count: int, seed: int) -> tuple[Example, ...]:
    train, pairs = corpus.train, corpus.kind == "pairs"
    first = list(range(min(count, len(train))))
    chance = random.Random(f"examples-{seed}")
    drawn = chance.sample(range(len(first), len(train)), min(count, len(train) - len(first)))

    def example(where: Any, index: int) -> Example:
        texts = (train[index].src, train[index].tgt) if pairs else (train[index], "")
        sizes = [len(tokenizer.encode_batch([text])[0]) if len(text) < 100_000 else 0 for text in texts]
        return Example(where, texts[0][:_SHOWN], texts[1][:_SHOWN], *sizes)

    shown = [example("first", i) for i in first] + [example("random", i) for i in sorted(drawn)]
    if not pairs and len(train) == 1:  # of a text in one piece also somewhere in it
        text = train[0]
        for _ in range(min(count, len(text) // (2 * _SHOWN))):
            at = chance.randrange(len(text) - _SHOWN)
            shown.append(Example("random", text[at : at + _SHOWN]))
    return tuple(shown)


def _steps(chosen: _Sample, lengths: dict[str, np.ndarray], config: "RunConfig") -> tuple[float, int]:
    """Optimiser steps of an epoch, and the target tokens of one on average."""
    micro, context = max(1, config.train.batch_tokens // config.train.accumulate), config.model.max_seq_len
    if chosen.pairs:
        both = np.stack([lengths["source"], lengths["target"]], axis=1)
        kept = both[(both.min(axis=1) > 0) & (both.max(axis=1) < context)] + 1
        if chosen.whole:
            micro_steps = float(len(buckets(kept, micro)))
        else:  # a pair's share of the batch that it would be in
            micro_steps = float((1 / np.maximum(1, micro // kept.max(axis=1))).sum()) * chosen.scale
        tokens = float(kept[:, 1].sum()) * chosen.scale
    else:
        sizes = lengths["text"] + (not chosen.one_piece)  # an end token each
        tokens = float(sizes.sum()) * chosen.scale
        block = max(1, min(context, int(tokens)))
        tokens = tokens // block * block
        micro_steps = max(1.0, np.ceil(tokens / block / max(1, micro // block)))
    steps = float(micro_steps) / config.train.accumulate
    return steps, round(tokens / steps) if steps else 0
