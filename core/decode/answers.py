"""Many texts decoded as plain values, each by itself: one that fails has an error, and harms no other."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from core.decode.config import GenerationConfig
from core.decode.search import BATCH_ROWS, generate, input_ids
from core.errors import ConfigError, TextError, UserError
from core.strict import from_dict

if TYPE_CHECKING:
    from core.decode.result import Generation
    from core.decode.trace import StepTrace
    from core.run import Run
    from core.tokenizer import Tokenizer

LONGEST = 100_000  # characters of a text
MOST_NEW_TOKENS = 8_192
MOST_ROWS = 512  # that one text may take: beams, or samples


def answers(
    run: "Run",
    texts: Sequence[str],
    config: GenerationConfig,
    truncate: bool = False,
    assistant: "Run | None" = None,
    full: bool = False,
    batch_rows: int = BATCH_ROWS,
    many: bool = False,
) -> list[dict[str, Any]]:
    """An answer for each text, in order: {"text", "score", "tokens"} of the best hypothesis, or {"error": a sentence}.

    truncate: of a text longer than the context what fits is used; else it has an error. full: all that `as_plain`
    gives. many: in large batches side by side (see core.decode.many), instead of `batch_rows` at a time. Raises
    ConfigError for settings that no text can be decoded with.
    """
    if not full:
        config = one_result(config)
    found: list[dict[str, Any]] = [{}] * len(texts)
    sound = []
    for place, text in enumerate(texts):
        try:
            check_text(run, text, truncate)
            sound.append(place)
        except UserError as error:
            found[place] = {"error": str(error)}
    # Nothing is decoded; the settings are checked, so that not every text says the same of them.
    generate(run, [], config, assistant=assistant)

    def decode(places: list[int]) -> None:
        given = [texts[place] for place in places]
        try:
            if many:
                results = _many(run, given, config, assistant)
            else:
                results = generate(run, given, config, False, batch_rows, assistant)
        except Exception as error:
            if len(places) > 1:
                decode(places[: len(places) // 2])
                decode(places[len(places) // 2 :])
            else:
                found[places[0]] = {"error": _sentence(error)}
            return
        for place, generation in zip(places, results, strict=True):
            found[place] = as_plain(generation) if full else _short(generation)

    if sound:
        decode(sound)
    return found


def _many(run: "Run", texts: Sequence[str], config: GenerationConfig, assistant: "Run | None") -> "list[Generation]":
    from core.decode.many import decoded

    found = {}
    with closing(decoded(run, [input_ids(run, text) for text in texts], config, assistant)) as batches:
        for batch in batches:
            found.update({one.number: one.generation for one in batch or ()})
    return [found[number] for number in range(len(texts))]


def one_result(config: GenerationConfig) -> GenerationConfig:
    """The same settings with one result a text: the one that is the best, or the first drawn, with more of them."""
    return replace(config, num_return_sequences=1)


def check_text(run: "Run", text: str, truncate: bool = False, name: str = "The text") -> None:
    """Raises TextError for a text that the run cannot take, or would have to cut without being asked to."""
    if not isinstance(text, str):
        raise TextError(f"A text must be a text, not {type(text).__name__}.")
    if len(text) > LONGEST:
        raise TextError(f"{name} has {len(text):,} characters; {LONGEST:,} are the most: shorten it.")
    context = run.config.model.max_seq_len
    if truncate or len(text.encode("utf-8", "replace")) + 2 <= context:  # a token is at least a byte; one is special
        return
    count = len(run.tokenizer.encode_batch([text])[0]) + 1
    if count > (context if run.is_translation else context - 1):
        raise TextError(
            f"{name} has {count:,} tokens, more than the {context:,} of {run.name}'s context: "
            "shorten it, or pass --truncate to use what fits."
        )


def settings(text: str) -> GenerationConfig:
    """Settings from JSON, as others send them. ConfigError for what is none, or asks for too much."""
    try:
        values = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise ConfigError("The decoding settings are no JSON: send the fields of a GenerationConfig.") from None
    return settings_of(values)


def settings_of(values: Any) -> GenerationConfig:
    """The same from plain values."""
    config = from_dict(GenerationConfig, values, "decode")
    if config.max_new_tokens > MOST_NEW_TOKENS:
        raise ConfigError(f"decode.max_new_tokens must be at most {MOST_NEW_TOKENS:,}, not {config.max_new_tokens:,}.")
    if config.rows > MOST_ROWS:
        raise ConfigError(f"A text may take {MOST_ROWS} beams or samples at most, not {config.rows:,}.")
    return config


def as_plain(generation: "Generation") -> dict[str, Any]:
    """A generation without its traces, for JSON."""
    best = generation.best
    hypotheses = [
        {
            "text": h.text, "score": h.score, "logprob": h.total_logprob, "finish_reason": h.finish_reason,
            "ids": h.ids, "logprobs": h.logprobs, "drafted": h.drafted,
        }
        for h in generation.hypotheses
    ]  # fmt: skip
    return {
        **_short(generation), "logprob": best.total_logprob, "seconds": round(generation.seconds, 4),
        "truncated": generation.truncated, "work": dict(generation.work.__dict__), "hypotheses": hypotheses,
    }  # fmt: skip


def traced(generation: "Generation", config: GenerationConfig, tokenizer: "Tokenizer | None" = None) -> dict[str, Any]:
    """What a trace adds to `as_plain`: of every token of every hypothesis what there was to choose from ("steps", in
    the hypotheses), and of beam search the tree. tokenizer: else tokens have no text."""
    from core.decode.tree import beam_tree
    from core.tokenizer.visible import visible

    def named(token: int) -> dict[str, Any]:
        if tokenizer is None:
            return {"id": token}
        return {"id": token, "text": visible(tokenizer.token_bytes(token)) if tokenizer.has_id(token) else f"#{token}"}

    def plain(step: "StepTrace") -> dict[str, Any]:
        candidates = [
            {
                **named(c.id), "logit": c.logit, "probability": c.probability, "processed": list(c.processed),
                "final": c.final_probability,
            }
            for c in step.candidates
        ]  # fmt: skip
        return {
            **named(step.id), "logprob": step.logprob, "rank": step.rank, "entropy": step.entropy,
            "processors": list(step.distribution.processors), "candidates": candidates,
        }  # fmt: skip

    hypotheses = [
        {**found, "steps": [plain(step) for step in hypothesis.steps]}
        for found, hypothesis in zip(as_plain(generation)["hypotheses"], generation.hypotheses, strict=True)
    ]
    tree = {"tree": asdict(beam_tree(generation, config))} if config.searches_beams else {}
    return {"hypotheses": hypotheses, **tree}


def _short(generation: "Generation") -> dict[str, Any]:
    return {"text": generation.text, "score": generation.score, "tokens": len(generation.ids)}


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    said = " ".join(str(error).split())[:300]
    return f"Decoding failed: {type(error).__name__}: {said or 'no reason was given'}."
