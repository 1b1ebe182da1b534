"""Speed, as ratios to peers that are measured in the same run: `make bench`, or `python -m tests.benchmarks [NAME …]`.

Ours and the peer take turns, so that both see the same machine; the best of each counts. Prints a table and writes
bench.json. Peers (tokenizers, transformers) come with the development packages.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

TEXT_WORDS = 120_000


@dataclass
class Row:
    """One comparison. floor: the best this machine could do, where it is known; all rates are per second."""

    name: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    floor: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.peer


def best_rates(amount: float, *functions: Callable[[], object], rounds: int = 3) -> list[float]:
    """amount / seconds of each function's best round; the functions take turns."""
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for i, function in enumerate(functions):
            began = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - began)
    return [amount / seconds for seconds in best]


def matrix_rate() -> float:
    """float32 operations per second of a large matrix product."""
    a = torch.randn(1024, 1024)
    return best_rates(2 * 1024**3, lambda: a @ a, rounds=10)[0]


def read_rate() -> float:
    """Bytes per second when reading more memory than the caches hold."""
    data = torch.ones(64 * 2**20)
    return best_rates(data.numel() * 4, data.sum, rounds=10)[0]


def some_text() -> str:
    """The language reference that every Python carries: real text, the same everywhere of one version."""
    from pydoc_data.topics import topics

    words = "\n".join(topics[name] for name in sorted(topics)).split(" ")
    return " ".join(words[:TEXT_WORDS])


def tokenizer_training() -> list[Row]:
    """2,000 merges on about 600 kB."""
    from core.tokenizer import train_bpe

    text = some_text()
    ours, peer = best_rates(
        len(text.encode()),
        lambda: train_bpe([text], 2_259, engine="ours"),
        lambda: train_bpe([text], 2_259, engine="tokenizers"),
    )
    return [Row("train a BPE of 2,000 merges", "bytes/s", ours, peer, "tokenizers")]


def tokenizer_encoding() -> list[Row]:
    """The same text, with pieces and spans on both sides."""
    from tokenizers import Tokenizer

    from core.tokenizer import train_bpe

    text = some_text()
    mine = train_bpe([text], 2_259, engine="tokenizers")
    theirs = Tokenizer.from_str(mine.to_json())
    ours, peer = best_rates(len(text.encode()), lambda: mine.encode(text), lambda: theirs.encode(text))
    return [Row("encode text, with spans", "bytes/s", ours, peer, "tokenizers")]


def decoding() -> list[Row]:
    """A GPT of 256 x 6 with random weights, batch 1 and 16, 64 new tokens, greedy and beam 5; the peer has the same
    weights. The floor of batch 1 reads every weight once a token."""
    import transformers

    from core.config import ModelConfig
    from core.decode import GenerationConfig, generate_ids
    from core.model import build_model

    config = ModelConfig(family="gpt", vocab_size=4_000, d_model=256, n_layers=6, n_heads=8, max_seq_len=256)
    torch.manual_seed(0)
    model = build_model(config).eval()
    peer = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=4_000, n_positions=256, n_embd=256, n_layer=6, n_head=8)
    ).eval()
    rows = []
    bytes_a_token = sum(p.numel() for p in model.parameters()) * 4
    for batch, beams in ((1, 1), (1, 5), (16, 1)):
        prompts = torch.randint(3, 4_000, (batch, 16), generator=torch.Generator().manual_seed(0))
        strategy = GenerationConfig(
            strategy="beam" if beams > 1 else "greedy", num_beams=beams, max_new_tokens=64, min_new_tokens=64
        )

        def mine(prompts=prompts, strategy=strategy):  # type: ignore[no-untyped-def]
            generate_ids(model, prompts.tolist(), strategy)

        def theirs(prompts=prompts, beams=beams):  # type: ignore[no-untyped-def]
            peer.generate(
                prompts, attention_mask=torch.ones_like(prompts), num_beams=beams, do_sample=False,
                max_new_tokens=64, min_new_tokens=64, pad_token_id=0, eos_token_id=2,
            )  # fmt: skip

        ours, other = best_rates(64 * batch, mine, theirs)
        floor = read_rate() / bytes_a_token if batch == beams == 1 else None
        name = f"decode, batch {batch}, " + (f"beam {beams}" if beams > 1 else "greedy")
        rows.append(Row(name, "tokens/s", ours, other, "transformers", floor))
    return rows


def training() -> list[Row]:
    """A step of the gpt-shakespeare shape (Muon) against the same model and data with PyTorch's AdamW in a bare loop,
    and the floor of 6 operations per weight and token."""
    import numpy as np

    from core.config import OptimConfig
    from core.data.batching import BlockBatches
    from core.model import build_model
    from core.presets import preset
    from core.train.loop import keep_memory
    from core.train.module import loss_sum
    from core.train.optim import make_optimizers

    keep_memory()
    from dataclasses import replace

    config = replace(preset("gpt-shakespeare").model, vocab_size=1_024)
    source = BlockBatches(np.random.default_rng(0).integers(3, 1_024, 50_000).astype(np.int32), 4_096, 256)
    batch = source.batch(source.batches(0)[0])

    def steps(optimizer):  # type: ignore[no-untyped-def]
        model = build_model(config).train()
        optimizers = make_optimizers(model, OptimConfig(optimizer=optimizer))

        def step():  # type: ignore[no-untyped-def]
            (loss_sum(model, batch) / batch.num_target_tokens).backward()
            for each in optimizers:
                each.step()
                each.zero_grad()

        return model, step

    model, muon = steps("muon")
    _, adamw = steps("adamw")
    ours, peer = best_rates(batch.num_target_tokens, muon, adamw, rounds=4)
    floor = matrix_rate() / (6 * sum(p.numel() for p in model.parameters()))
    return [Row("train a step with Muon", "tokens/s", ours, peer, "AdamW", floor)]


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "tokenizer-training": tokenizer_training,
    "tokenizer-encoding": tokenizer_encoding,
    "decoding": decoding,
    "training": training,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}. There are: {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    print(
        f"{torch.get_num_threads()} threads; {matrix_rate() / 1e9:.0f} GFLOP/s float32; {read_rate() / 2**30:.0f} GiB/s"
    )
    print(f"{'':34}{'ours':>12}{'peer':>12}{'ratio':>8}{'floor':>12}")
    rows = []
    for name in names or BENCHMARKS:
        for row in BENCHMARKS[name]():
            rows.append(row)
            floor = f"{row.floor:>12,.0f}" if row.floor else ""
            figures = f"{row.ours:>12,.0f}{row.peer:>12,.0f}{row.ratio:>8.2f}{floor:12}"
            print(f"{row.name:34}{figures}  {row.unit} ({row.peer_name})", flush=True)
    with open("bench.json", "w", encoding="utf-8") as file:
        json.dump([asdict(row) | {"ratio": row.ratio} for row in rows], file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
