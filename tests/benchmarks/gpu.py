"""Decoding on a CUDA GPU in bfloat16; says so where there is none."""

import torch

from tests.benchmarks.decode import NEW, PROMPT, gpt2_124m, in_transformers, settings
from tests.benchmarks.measure import Row, best_rates


def gpu() -> list[Row]:
    """GPT-2 124M in bfloat16, batch 1 and 64, 64 new tokens: recorded steps (CUDA graphs) against transformers with a
    static cache and torch.compile. The floor of batch 1 reads every weight once a token."""
    if not torch.cuda.is_available():
        print("GPU: not run, there is no CUDA GPU here")
        return []
    from core.decode import generate_ids
    from core.model.inference import for_inference

    model = gpt2_124m()
    peer = in_transformers(model).to("cuda", torch.bfloat16)
    model = for_inference(model, "cuda", "bfloat16")
    weights = sum(p.numel() for p in model.parameters()) - model.positions.weight.numel()
    data = torch.ones(2**30, dtype=torch.int8, device="cuda")

    def read() -> None:
        data.sum(dtype=torch.int64)
        torch.cuda.synchronize()

    (bytes_per_second,) = best_rates(data.numel(), read, rounds=10)
    rows = []
    for batch in (1, 64):
        prompts = torch.randint(3, 50_000, (batch, PROMPT), generator=torch.Generator().manual_seed(0))
        on_device = prompts.cuda()

        def theirs(on_device=on_device) -> None:  # type: ignore[no-untyped-def]
            peer.generate(
                on_device, attention_mask=torch.ones_like(on_device), do_sample=False, max_new_tokens=NEW,
                min_new_tokens=NEW, pad_token_id=0, eos_token_id=2, cache_implementation="static",
            )  # fmt: skip
            torch.cuda.synchronize()

        def mine(prompts=prompts) -> None:  # type: ignore[no-untyped-def]
            generate_ids(model, prompts.tolist(), settings(1))
            torch.cuda.synchronize()

        peer.forward = torch.compile(peer.forward, mode="reduce-overhead", fullgraph=True)
        for _ in range(2):
            theirs()
        ours, other = best_rates(NEW * batch, mine, theirs, rounds=5)
        floor = bytes_per_second / (2 * weights) * batch
        rows.append(
            Row(f"GPU, GPT-2 124M bf16, batch {batch}", "tokens/s", ours, other, "transformers, compiled", floor)
        )
    return rows
