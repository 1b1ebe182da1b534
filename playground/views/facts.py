"""What a model is, on one line."""

from html import escape
from typing import Any

FAMILIES = {"transformer": "Transformer", "gpt": "GPT", "llama": "Llama"}


def facts(config: Any, parameters: int, scores: dict[str, Any]) -> str:
    """HTML of a definition list. config: a RunConfig; parameters: learned weights; scores: as in scores.json."""
    items = "".join(
        f'<div class="fact"><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
        for name, value in fact_rows(config, parameters, scores)
    )
    return f'<dl class="facts" aria-label="About the model">{items}</dl>'


def fact_rows(config: Any, parameters: int, scores: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value) pairs."""
    model = config.model
    layers = str(model.n_layers)
    if model.n_encoder_layers:
        layers = f"{model.n_encoder_layers} encoder + {model.n_layers} decoder"
    heads = str(model.n_heads)
    if model.n_kv_heads != model.n_heads:
        heads += f" ({model.n_kv_heads} key-value)"
    rows = [
        ("Family", FAMILIES.get(model.family, model.family)),
        ("Layers", layers),
        ("Heads", heads),
        ("Width", f"{model.d_model:,}"),
        ("Parameters", short_count(parameters)),
        ("Vocabulary", f"{model.vocab_size:,}"),
        ("Context", f"{model.max_seq_len:,} tokens"),
    ]
    data = data_name(config.data)
    return [*rows, *([("Trained on", data)] if data else []), *score_rows(scores)]


def short_count(number: int) -> str:
    """
    >>> short_count(7_123_456), short_count(124_000_000), short_count(12_400), short_count(900)
    ('7.1 M', '124 M', '12.4 k', '900')
    """
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            value = number / size
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    return str(number)


def megabytes(done: int, total: int) -> str:
    """How far a download is, from bytes; a total of 0 is not known.

    >>> megabytes(12_345_678, 548_000_000), megabytes(5_000, 0)
    ('12.3 of 548.0 MB', '0.0 MB')
    """
    return f"{done / 1e6:,.1f} " + (f"of {total / 1e6:,.1f} MB" if total else "MB")


def data_name(data: Any) -> str:
    """The data set in a few words; empty if it is not known. Of a file only its name is shown, not where it lay."""
    named = {
        "builtin:enja": "built-in English-Japanese",
        "builtin:pydocs": "Python's language reference",
        "builtin:repeats": "built-in English, said twice",
    }
    if data.src:
        pair = " to ".join(language for language in (data.src_language, data.tgt_language) if language)
        name = data.src.replace("\\", "/").rpartition("/")[2]
        return f"{name} ({pair})" if pair else name
    if data.name in named:
        return named[data.name]
    looks_local = data.name.startswith(("/", ".", "~")) or data.name.count("/") != 1
    return data.name.replace("\\", "/").rpartition("/")[2] if looks_local else data.name


SCORES = {
    "bleu": "BLEU",
    "chrf": "chrF",
    "loss_per_token": "Loss per token",
    "perplexity": "Perplexity",
    "bits_per_byte": "Bits per byte",
}


def score_rows(scores: dict[str, Any]) -> list[tuple[str, str]]:
    """The scores of scores.json under their usual names; how they were measured is on the card."""
    return [
        (label, f"{scores[key]:.4g}")
        for key, label in SCORES.items()
        if isinstance(scores.get(key), (int, float)) and not isinstance(scores[key], bool)
    ]
