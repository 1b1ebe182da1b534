"""Speed, as ratios to peers that are measured in the same run: `make bench`, or `python -m tests.benchmarks [NAME …]`.

Prints a table of ours, the peer, their ratio and the floor, and writes bench.json. Peers (transformers, CTranslate2,
tokenizers, gensim) come with the extra `peers`.
"""

import importlib
import json
import os
import sys
from dataclasses import asdict

BENCHMARKS = {
    "tokenizer-training": "tokenizer:training",
    "tokenizer-encoding": "tokenizer:encoding",
    "tokenizer-page": "tokenizer:page",
    "tokenizer-lines": "tokenizer:long_lines",
    "tokenizer-vocabulary": "tokenizer:vocabularies",
    "tokenizer-files": "tokenizer:files",
    "attention-reading": "attention:readings",
    "attention-heads": "attention:heads",
    "attention-views": "attention:views",
    "word2vec": "embeddings:word2vec",
    "linear": "train:linear_layers",
    "training": "train:training",
    "gpt2": "decode:gpt2",
    "translation": "decode:translation",
    "evaluate": "evaluate:evaluation",
    "small-gpt": "decode:small_gpt",
    "assisted": "decode:assisted",
    "prompt": "decode:prompts",
    "sliders": "sliders:sliders",
    "int8-quality": "decode:int8_quality",
    "lightning": "lightning_cost:lightning_cost",
    "nanogpt": "peers:speed",
    "nanogpt-loss": "peers:loss",
    "shakespeare-137s": "peers:free_configuration",
    "joeynmt": "peers_joeynmt:speed",
    "joeynmt-bleu": "peers_joeynmt:bleu",
    "gpu": "gpu:gpu",
    "gpu-gpt2": "gpu_training:gpt2",
    "gpu-shakespeare": "gpu_training:shakespeare",
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}. There are: {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no peer needs a download
    import torch

    from tests.benchmarks.measure import matrix_rate, read_rate

    threads = torch.get_num_threads()
    machine = {"threads": threads, "flops_per_second": matrix_rate(), "bytes_per_second": read_rate()}
    print(f"{threads} threads; {matrix_rate() / 1e9:.0f} GFLOP/s float32; reads {read_rate() / 2**30:.0f} GiB/s")
    print(f"{'':36}{'ours':>11}{'peer':>11}{'ratio':>8}{'floor':>11}")
    rows = []
    for name in names or BENCHMARKS:
        module, _, function = BENCHMARKS[name].partition(":")
        for row in getattr(importlib.import_module(f"tests.benchmarks.{module}"), function)():
            rows.append(asdict(row) | {"ratio": row.ratio})
            ratio = f"{row.ratio:>8.2f}" if row.ratio else f"{'':8}"
            peer = f"{_short(row.peer)}{ratio}" if row.peer is not None else f"{'':19}"
            floor = _short(row.floor) if row.floor else f"{'':11}"
            told = ", ".join(text for text in (row.peer_name, row.note) if text)
            print(f"{row.name:36}{_short(row.ours)}{peer}{floor}  {row.unit} ({told})", flush=True)
    with open("bench.json", "w", encoding="utf-8") as file:
        json.dump({"machine": machine, "rows": rows}, file, indent=2)
    return 0


def _short(value: float) -> str:
    return f"{value:>11,.0f}" if value >= 100 else f"{value:>11.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
