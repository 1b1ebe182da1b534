"""generation_config.json of a Hugging Face checkpoint <-> our GenerationConfig: how a model is meant to be decoded."""

from pathlib import Path
from typing import Any

from core.config import ModelConfig
from core.decode.config import GenerationConfig
from core.errors import ConfigError, RunError
from core.files import read_json
from core.strict import from_dict

# Settings that both have, with the same name and meaning.
SHARED = (
    *("max_new_tokens", "min_new_tokens", "num_beams", "length_penalty", "early_stopping", "temperature", "top_k"),
    *("top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "repetition_penalty", "no_repeat_ngram_size"),
    *("bad_words_ids", "renormalize_logits"),
)
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
BEAMS = ("num_beams", "length_penalty", "early_stopping")


def decode_config(
    directory: Path, values: dict[str, Any], config: ModelConfig, eos: tuple[int, ...], name: str
) -> GenerationConfig:
    """What generation_config.json says (old checkpoints: config.json, whose `values` are given), as far as we have it.

    eos: the end tokens; the first is the model's, the others end a text too. name: of the checkpoint, for errors.
    """
    path = directory / "generation_config.json"
    given = read_json(path) if path.is_file() else values
    given = {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else {}
    settings: dict[str, Any] = {key: given[key] for key in SHARED if key in given}
    if config.family == "transformer":  # lengths count the token that the decoder begins with
        for key, ours in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
            if type(given.get(key)) is int and given[key] > 1:
                settings.setdefault(ours, given[key] - 1)
        if type(given.get("forced_bos_token_id")) is int:
            settings["forced_prefix_ids"] = [given["forced_bos_token_id"]]
        settings["forced_end"] = bool(eos) and given.get("forced_eos_token_id") == eos[0]
    if given.get("do_sample") is True:
        settings["strategy"] = "sample"
    elif settings.get("num_beams") != 1 and "num_beams" in settings:
        settings["strategy"] = "beam"
    strategy = settings.get("strategy", "greedy")
    for key in (*(SAMPLING if strategy != "sample" else ()), *(BEAMS if strategy != "beam" else ())):
        settings.pop(key, None)  # it has no say in this strategy
    try:
        return from_dict(GenerationConfig, settings | {"stop_ids": list(eos[1:])}, "decode")
    except ConfigError as error:
        raise RunError(f"{path.name if path.is_file() else 'config.json'} of {name} cannot be used: {error}") from None


def generation_values(decode: GenerationConfig, context: int, eos: int) -> dict[str, Any]:
    """The settings of generation_config.json that say what ours say; what is as usual is left out.

    context: of the model, in tokens; transformers would go on beyond it, and fail. eos: the model's end token.
    """
    usual = GenerationConfig()
    left_out = (*(SAMPLING if decode.strategy != "sample" else ()), *(BEAMS if decode.strategy != "beam" else ()))
    if decode.length_penalty_formula != "hf":
        left_out = (*left_out, "length_penalty")
    values = {
        key: getattr(decode, key)
        for key in SHARED
        if key not in left_out
        if key in ("num_beams", "max_new_tokens") or getattr(decode, key) != getattr(usual, key)
    }
    values["max_new_tokens"] = min(decode.max_new_tokens, max(1, context - 1))
    if decode.strategy == "sample":
        values = {"do_sample": True, "top_k": 0} | values  # transformers' own top_k is 50
    if "bad_words_ids" in values:
        values["bad_words_ids"] = [list(word) for word in decode.bad_words_ids]
    if len(decode.forced_prefix_ids) == 1:
        values["forced_bos_token_id"] = decode.forced_prefix_ids[0]
    if decode.forced_end and eos >= 0:
        values["forced_eos_token_id"] = eos
    return values
