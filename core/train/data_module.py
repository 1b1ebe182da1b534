"""From a configuration to batches: load the corpus, train or take the tokenizer, turn text into ids."""

from pathlib import Path

import lightning as L
import numpy as np
from torch.utils.data import DataLoader, IterableDataset

from core.config import RunConfig
from core.data.batching import Batch, BlockBatches, PairBatches, StepStream
from core.data.corpus import Corpus
from core.data.sources import load_corpus
from core.data.token_cache import TokenCache
from core.errors import DataError
from core.tokenizer import Tokenizer, load_tokenizer


class Prepared:
    """Everything that training needs to know of its data."""

    def __init__(self, config: RunConfig, directory: Path, say=print) -> None:  # type: ignore[no-untyped-def]
        self.cache = TokenCache.beside(directory.parent)
        self.is_pairs = config.model.family == "transformer"
        say(f"reading {config.data.src or config.data.name}")
        self.corpus: Corpus = load_corpus(config.data, "pairs" if self.is_pairs else "text", seed=config.seed)
        self.tokenizer = self._tokenizer(config, directory, say)
        if not self.corpus.train or not self.corpus.val:
            raise DataError(
                "The data set is too small: it must have at least one example to train on and one to validate."
            )
        micro_tokens = max(1, config.train.batch_tokens // config.train.accumulate)
        say("turning text into ids")
        self.train = self._batches(self.corpus.train, config, micro_tokens)
        self.val = self._batches(self.corpus.val, config, micro_tokens)
        for name, source in (("training", self.train), ("validation", self.val)):
            if isinstance(source, PairBatches):
                if not len(source.kept):
                    raise DataError(
                        f"Every {name} pair is empty or longer than the model's context of {config.model.max_seq_len} "
                        "tokens: raise model.max_seq_len, or split the sentences."
                    )
                if source.dropped:
                    say(f"left out {source.dropped:,} {name} pairs that are empty or longer than the context")
        self.val_bytes = sum(
            len((item.tgt if self.is_pairs else item).encode("utf-8", "replace")) for item in self.corpus.val
        )
        self.num_train_tokens = (
            int(self.train.lengths[:, 1].sum()) if isinstance(self.train, PairBatches) else len(self.train.ids)
        )

    def _tokenizer(self, config: RunConfig, directory: Path, say) -> Tokenizer:  # type: ignore[no-untyped-def]
        """The run's own if it has one (a resumed run), the one that is named, or a new one of the training split."""
        if (directory / "tokenizer.json").exists():
            return load_tokenizer(directory / "tokenizer.json")
        if config.tokenizer.path:
            tokenizer = load_tokenizer(config.tokenizer.path)
            tokenizer.to_json()  # one that cannot be kept with the run is refused before the work
            return tokenizer
        say(f"training a tokenizer ({config.tokenizer.kind}) on the training split")
        return self.cache.train(config.tokenizer, self.corpus.texts())

    def _batches(self, items: list, config: RunConfig, micro_tokens: int) -> PairBatches | BlockBatches:
        tokenizer, length = self.tokenizer, config.model.max_seq_len
        bos, eos = tokenizer.bos_id or 0, tokenizer.eos_id or 0
        if self.is_pairs:
            src = self.cache.encode(tokenizer, [pair.src for pair in items])
            tgt = self.cache.encode(tokenizer, [pair.tgt for pair in items])
            return PairBatches((src, tgt), micro_tokens, length, config.seed, bos, eos, tokenizer.pad_id or 0)
        # An end token between documents tells the model where one stops; a text in one piece has no border.
        stream = self.cache.encode(tokenizer, items, eos if len(items) > 1 else None).ids
        if len(stream) < 2:
            raise DataError("The text is too short: it must have at least two tokens to train on and two to validate.")
        return BlockBatches(stream, micro_tokens, length, config.seed, bos)

    def val_batches(self, limit: int = 0) -> list[Batch]:
        """Validation batches in a fixed order; `limit` of them, spread over the set, or all."""
        order = self.val.batches(0, shuffle=False)
        if limit and limit < len(order):
            order = [order[i] for i in np.linspace(0, len(order) - 1, limit).astype(int)]
        return [self.val.batch(indices) for indices in order]


class _Steps(IterableDataset):
    def __init__(self, stream: StepStream) -> None:
        self.stream = stream

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.stream)


class TrainingData(L.LightningDataModule):
    """Optimiser steps from a place in the data on: the share of one process (rank) of several (world)."""

    def __init__(
        self, prepared: Prepared, accumulate: int, place: tuple[int, ...] = (0, 0), rank: int = 0, world: int = 1
    ) -> None:
        super().__init__()
        self.stream = StepStream(prepared.train, accumulate, place, rank, world)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(_Steps(self.stream), batch_size=None, num_workers=0)
