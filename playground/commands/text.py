"""`tokenize`, `translate` and `generate`: texts from arguments, standard input or a conversation."""

import sys
from argparse import Namespace
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from core.config import RunConfig
from core.errors import ConfigError, RunError, TextError, UserError
from playground.commands.output import download_progress, say, show

if TYPE_CHECKING:
    from core.decode import Generation
    from core.decode.config import GenerationConfig
    from core.run import Run

TOGETHER = 64  # texts that are decoded at a time
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")
BEAMS = ("num_beams", "length_penalty")
OTHERS = ("repetition_penalty", "no_repeat_ngram_size", "max_new_tokens", "num_return_sequences", "seed")


def tokenize(args: Namespace) -> None:
    from core.tokenizer import load_tokenizer
    from core.tokenizer.visible import visible

    if args.run:
        from core.run import load

        tokenizer, name = load(args.run, args.runs_dir, download_progress(args)).tokenizer, args.run
    else:
        tokenizer, name = load_tokenizer(args.tokenizer), args.tokenizer
    texts = args.text or _input_lines("Give a text to tokenize.")
    _refuse_empty(texts, "Give a text to tokenize.")
    results, lines = [], []
    for text in texts:
        encoding = tokenizer.encode(text)
        size = sum(len(piece) for piece in encoding.pieces)
        tokens = [visible(piece) for piece in encoding.pieces]
        results.append(
            {
                "text": text, "ids": encoding.ids, "tokens": tokens, "byte_spans": encoding.byte_spans,
                "characters": len(text), "bytes": size,
            }
        )  # fmt: skip
        lines.append(f"{len(tokens):,} tokens, {len(text):,} characters, {size:,} bytes")
        lines += [f"{id:>8}  {token}" for id, token in zip(encoding.ids, tokens, strict=True)]
    show(args, {"tokenizer": name, "results": results}, lines)


def translate(args: Namespace) -> None:
    _decode(args, "translation")


def generate(args: Namespace) -> None:
    _decode(args, "continuation")


def _decode(args: Namespace, what: str) -> None:
    from core.run import load

    run = load(args.run, args.runs_dir, download_progress(args))
    if run.is_translation != (what == "translation"):
        other = "translate" if run.is_translation else "generate"
        raise RunError(f"{run.name} is made to {other}: use `llm-scratch {other} --run {run.name}`.")
    config = decode_config(run.config, args)
    empty = "The text is empty: give a sentence to translate."
    if what == "continuation":
        empty = "The prompt is empty: give a text to continue, or --from-start to let the model begin by itself."
    texts: list[str]
    if getattr(args, "from_start", False):
        texts = [""]
    elif args.text:
        texts = args.text
        _refuse_empty(texts, empty)
    elif sys.stdin is not None and sys.stdin.isatty() and not args.json:
        return _converse(run, config, what)
    else:
        texts = _input_lines(empty)
        if not any(text.strip() for text in texts):
            raise TextError(empty)
    if not args.truncate:
        _refuse_long(run, texts)
    from core.decode import generate as decode

    results = []
    for start in range(0, len(texts), TOGETHER):
        for generation in decode(run, texts[start : start + TOGETHER], config):
            if args.json:
                results.append(_as_json(generation, what))
            else:
                _print_generation(generation, what)
    if args.json:
        show(args, {"run": run.name, "decode": asdict(config), "results": results}, [])


def _as_json(generation: "Generation", what: str) -> dict[str, Any]:
    best = generation.best
    hypotheses = [
        {
            "text": h.text, "score": h.score, "logprob": h.total_logprob, "finish_reason": h.finish_reason,
            "ids": h.ids, "logprobs": h.logprobs,
        }
        for h in generation.hypotheses
    ]  # fmt: skip
    return {
        "text": generation.prompt, what: best.text, "score": best.score, "logprob": best.total_logprob,
        "tokens": len(best.ids), "seconds": round(generation.seconds, 4), "truncated": generation.truncated,
        "hypotheses": hypotheses,
    }  # fmt: skip


def _print_generation(generation: "Generation", what: str) -> None:
    """A translation on one line each, so that files keep step; continuations with their prompts."""
    for hypothesis in generation.hypotheses:
        text = " ".join(hypothesis.text.split("\n")) if what == "translation" else generation.prompt + hypothesis.text
        score = f"{hypothesis.score:8.3f}  " if len(generation.hypotheses) > 1 else ""
        print(score + text, flush=True)


def _converse(run: "Run", config: "GenerationConfig", what: str) -> None:
    """Ask for a text, answer it, until the end of input."""
    from core.decode import stream

    say(f"{run.name}: type a {'sentence' if what == 'translation' else 'prompt'} and Enter; Ctrl-D ends.")
    run.model  # noqa: B018 - read now, so that the first answer comes at once
    while True:
        try:
            text = input("> ")
        except EOFError:
            say("")
            return
        if not text.strip():
            continue
        try:
            _refuse_long(run, [text])
            shown = ""
            for event in stream(run, text, config):
                if config.is_greedy or (config.strategy == "sample" and config.num_return_sequences == 1):
                    print(event.text[len(shown) :], end="", flush=True)  # written text only grows
                    shown = event.text
                elif event.generation is not None:
                    shown = "\n".join(h.text for h in event.generation.hypotheses)
                    print(shown, end="")
            print(flush=True)
        except UserError as error:
            say(str(error))
        except KeyboardInterrupt:  # of this answer only
            say("")


def decode_config(config: RunConfig, args: Namespace) -> "GenerationConfig":
    """The run's settings with those of the command line. A setting that acts on one strategy only chooses it."""
    given = {name: value for name in (*SAMPLING, *BEAMS, *OTHERS) if (value := getattr(args, name)) is not None}
    strategy = args.strategy
    wanted = [name for name, fields in (("sample", SAMPLING), ("beam", BEAMS)) if any(f in given for f in fields)]
    if strategy is None and len(wanted) == 2:
        raise ConfigError("Settings of beam search and of sampling are given together: say which with --strategy.")
    if strategy is None and wanted:
        strategy = wanted[0]
    if any(not assignment.startswith("decode.") for assignment in args.set):
        raise ConfigError("--set takes decode.FIELD=VALUE here: the other sections were settled by training.")
    changed = config.with_overrides(args.set).decode
    return replace(changed, **given, **({"strategy": strategy} if strategy else {}))


def _input_lines(empty: str) -> list[str]:
    """Lines of standard input, without their line ends; bytes that are no UTF-8 become U+FFFD."""
    if sys.stdin is None or sys.stdin.isatty():
        raise TextError(empty)
    data = sys.stdin.buffer.read().decode("utf-8", "replace") if hasattr(sys.stdin, "buffer") else sys.stdin.read()
    lines = data.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _refuse_empty(texts: list[str], sentence: str) -> None:
    if not texts or any(not text.strip() for text in texts):
        raise TextError(sentence)


def _refuse_long(run: "Run", texts: list[str]) -> None:
    """Before any work: a text that does not fit is not quietly cut."""
    context = run.config.model.max_seq_len
    for number, text in enumerate(texts, start=1):
        if len(text.encode("utf-8", "replace")) + 2 <= context:  # a token is at least a byte; one is <s> or </s>
            continue
        count = len(run.tokenizer.encode_batch([text])[0]) + 1
        if count > (context if run.is_translation else context - 1):
            raise TextError(
                f"Text {number} has {count:,} tokens, more than the {context:,} of {run.name}'s context: "
                "shorten it, or pass --truncate to use what fits."
            )
