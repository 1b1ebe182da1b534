"""From a configuration to batches: load the corpus, train or take the tokenizer, turn text into ids."""

from collections.abc import Iterator
from pathlib import Path

import lightning as L
import numpy as np
from torch.utils.data import DataLoader, IterableDataset

from core.config import RunConfig
from core.data.batching import Batch, BlockBatches, PairBatches, StepStream
from core.data.corpus import Corpus
from core.data.head import read_head
from core.data.prefetch import Prefetch
from core.data.sources import is_stream, load_corpus
from core.data.stream import StreamBatches
from core.data.token_cache import TokenCache
from core.errors import DataError
from core.tokenizer import Tokenizer, load_tokenizer, with_control_tokens

_STEPS_AHEAD = 4  # of a stream, made by a thread


class Prepared:
    """Everything that training needs to know of its data."""

    train: PairBatches | BlockBatches | StreamBatches
    val: PairBatches | BlockBatches

    def __init__(self, config: RunConfig, directory: Path, say=print) -> None:  # type: ignore[no-untyped-def]
        self.cache = TokenCache.beside(directory.parent)
        self.is_pairs = config.model.family == "transformer"
        self.is_stream = is_stream(config.data)
        say(f"reading {config.data.src or config.data.name}" + (" as a stream" if self.is_stream else ""))
        kind = "pairs" if self.is_pairs else "text"
        head = read_head(config.data, kind, config.seed) if self.is_stream else None  # type: ignore[arg-type]
        self.corpus: Corpus = head.corpus if head else load_corpus(config.data, kind, seed=config.seed)  # type: ignore[arg-type]
        self.tokenizer = self._tokenizer(config, directory, say)
        if not self.corpus.train or not self.corpus.val:
            raise DataError(
                "The data set is too small: it must have at least one example to train on and one to validate."
            )
        micro_tokens = max(1, config.train.batch_tokens // config.train.accumulate)
        say("turning text into ids")
        self.val = self._batches(self.corpus.val, config, micro_tokens)
        if head:
            self.train = StreamBatches(
                head, self.tokenizer, config.data, micro_tokens, config.model.max_seq_len, config.seed
            )
            self.corpus.train.clear()  # has trained the tokenizer; what follows is read again, batch by batch
        else:
            self.train = self._batches(self.corpus.train, config, micro_tokens)
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

    @property
    def num_train_tokens(self) -> int:
        """Target tokens of an epoch; of a stream those that it is limited to, 0 if it is not."""
        if isinstance(self.train, PairBatches):
            return int(self.train.lengths[:, 1].sum())
        return len(self.train.ids) if isinstance(self.train, BlockBatches) else self.train.config.max_tokens

    @property
    def size(self) -> str:
        """How much there is to train on, in words."""
        tokens = self.num_train_tokens
        if not self.is_stream:
            return f"{tokens:,} target tokens an epoch"
        return f"a stream, of which the first {tokens:,} tokens are used" if tokens else "a stream, used as it comes"

    def epoch_of(self, place: tuple[int, ...]) -> float:
        """How often the data was gone through at a place in it."""
        return self.train.epoch_of(place)

    def _tokenizer(self, config: RunConfig, directory: Path, say) -> Tokenizer:  # type: ignore[no-untyped-def]
        """The run's own if it has one (a resumed run), the one that is named, or a new one of the training split."""
        if (directory / "tokenizer.json").exists():
            return load_tokenizer(directory / "tokenizer.json")
        if config.tokenizer.path:
            # One that cannot be kept with the run is refused before the work.
            return with_control_tokens(load_tokenizer(config.tokenizer.path), pad=self.is_pairs)
        part = f"the first {len(self.corpus.train):,} examples" if self.is_stream else "the training split"
        say(f"training a tokenizer ({config.tokenizer.kind}) on {part}")
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
    """Steps as they come, or (of a stream) made ahead by a thread."""

    def __init__(self, stream: StepStream, ahead: int) -> None:
        self.stream, self.ahead = stream, ahead
        self.reader: Prefetch | None = None

    def __iter__(self) -> Iterator:
        if not self.ahead:
            return iter(self.stream)
        self.close()
        self.reader = Prefetch(lambda life: iter(self.stream), self.ahead)  # what it reads has the time limit
        return self.reader

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None


class TrainingData(L.LightningDataModule):
    """Optimiser steps from a place in the data on; of several processes, each gets its share of them."""

    def __init__(self, prepared: Prepared, accumulate: int, place: tuple[int, ...] = (0, 0)) -> None:
        super().__init__()
        self.stream = StepStream(prepared.train, accumulate, place)
        # What lies in memory is batched in about a millisecond, which is not worth a thread.
        self.steps = _Steps(self.stream, _STEPS_AHEAD if prepared.is_stream else 0)

    def train_dataloader(self) -> DataLoader:
        if self.trainer is not None:
            self.stream.rank, self.stream.world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(self.steps, batch_size=None, num_workers=0)

    def teardown(self, stage: str) -> None:
        self.close()

    def on_exception(self, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """End the thread that reads ahead, if there is one."""
        self.steps.close()
