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
DRAWN = ("sample", "best_of", "mbr", "assisted")
BEAMS = ("beam", "diverse_beam")
# Settings that act on some strategies only, and these, the likeliest first.
ACTS_ON: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("temperature", "top_p", "min_p", "typical_p"), DRAWN),
    "top_k": (*DRAWN, "contrastive"),
    **dict.fromkeys(("num_beams", "early_stopping"), BEAMS),
    **dict.fromkeys(("length_penalty", "length_penalty_formula"), (*BEAMS, "best_of")),
    **dict.fromkeys(("num_beam_groups", "diversity_penalty"), ("diverse_beam",)),
    "penalty_alpha": ("contrastive",),
    "num_samples": ("best_of", "mbr"),
    "mbr_metric": ("mbr",),
    **dict.fromkeys(("num_assistant_tokens", "assisted_sampling"), ("assisted",)),
}
SAMPLING = {name for name, strategies in ACTS_ON.items() if "sample" in strategies}
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
    run.use(args.device, args.precision)
    assistant = open_assistant(args, config)
    empty = "The text is empty: give a sentence to translate."
    if what == "continuation":
        empty = "The prompt is empty: give a text to continue, or --from-start to let the model begin by itself."
    texts: list[str]
    if getattr(args, "from_start", False):
        if args.text:
            raise TextError("--from-start means no prompt: give a text or --from-start, not both.")
        texts = [""]
    elif args.text:
        texts = args.text
        _refuse_empty(texts, empty)
    elif sys.stdin is not None and sys.stdin.isatty() and not args.json:
        return _converse(run, config, what, assistant)
    else:
        texts = _input_lines(empty)
        if not any(text.strip() for text in texts):
            raise TextError(empty)
    if not args.truncate:
        _refuse_long(run, texts)
    from core.decode import generate as decode

    results = []
    for start in range(0, len(texts), TOGETHER):
        for generation in decode(run, texts[start : start + TOGETHER], config, assistant=assistant):
            if args.json:
                results.append(_as_json(generation, what))
            else:
                _print_generation(generation, what)
    if args.json:
        show(args, {"run": run.name, "decode": asdict(config), "results": results}, [])


def open_assistant(args: Namespace, config: "GenerationConfig") -> "Run | None":
    """The run of --assistant, to compute where and as the run itself does."""
    from core.run import load

    if config.strategy == "assisted" and not args.assistant:
        raise ConfigError("Assisted decoding needs --assistant NAME: a smaller run with the same tokenizer.")
    return load(args.assistant, args.runs_dir).use(args.device, args.precision) if args.assistant else None


def _as_json(generation: "Generation", what: str) -> dict[str, Any]:
    best = generation.best
    hypotheses = [
        {
            "text": h.text, "score": h.score, "logprob": h.total_logprob, "finish_reason": h.finish_reason,
            "ids": h.ids, "logprobs": h.logprobs, "drafted": h.drafted,
        }
        for h in generation.hypotheses
    ]  # fmt: skip
    return {
        "text": generation.prompt, what: best.text, "score": best.score, "logprob": best.total_logprob,
        "tokens": len(best.ids), "seconds": round(generation.seconds, 4), "truncated": generation.truncated,
        "work": asdict(generation.work), "hypotheses": hypotheses,
    }  # fmt: skip


def _print_generation(generation: "Generation", what: str) -> None:
    """A translation on one line each, so that files keep step; continuations with their prompts."""
    for hypothesis in generation.hypotheses:
        text = " ".join(hypothesis.text.split("\n")) if what == "translation" else generation.prompt + hypothesis.text
        score = f"{hypothesis.score:8.3f}  " if len(generation.hypotheses) > 1 else ""
        print(score + text, flush=True)


def _converse(run: "Run", config: "GenerationConfig", what: str, assistant: "Run | None") -> None:
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
            for event in stream(run, text, config, assistant=assistant):
                if config.rows == 1 or config.strategy == "contrastive":
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
    """The run's settings with those of the command line. Settings that act on some strategies only choose one: the
    run's own if they act on it."""
    given: dict[str, Any] = {name: value for name in (*ACTS_ON, *OTHERS) if (value := getattr(args, name)) is not None}
    if "early_stopping" in given:
        given["early_stopping"] = {"true": True, "false": False}.get(given["early_stopping"], "never")
    if args.stop_string:
        given["stop_strings"] = tuple(args.stop_string)
    if any(not assignment.startswith("decode.") for assignment in args.set):
        raise ConfigError("--set takes decode.FIELD=VALUE here: the other sections were settled by training.")
    changed = config.with_overrides(args.set).decode
    strategy = args.strategy or _strategy_of(given, bool(args.assistant), changed.strategy)
    idle = [name for name in given if strategy not in ACTS_ON.get(name, (strategy,))]
    if idle:
        flags = " and ".join("--" + name.replace("_", "-") for name in idle)
        say(f"{flags} {'has' if len(idle) == 1 else 'have'} no effect on the strategy {strategy}.")
    if strategy == "assisted" and given.keys() & SAMPLING:
        given.setdefault("assisted_sampling", True)
    return replace(changed, **given | {"strategy": strategy})


def _strategy_of(given: dict[str, Any], assistant: bool, own: str) -> str:
    """The strategy that all given settings act on, or the run's own where they do not say."""
    wanted = {name: ACTS_ON[name] for name in given if name in ACTS_ON}
    if assistant:
        wanted["assistant"] = ("assisted",)
    possible = [s for s in next(iter(wanted.values()), (own,)) if all(s in acts for acts in wanted.values())]
    if not possible:
        flags = " and ".join("--" + name.replace("_", "-") for name in wanted)
        raise ConfigError(f"{flags} act on no strategy together: say which one is meant with --strategy.")
    return own if own in possible else possible[0]


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
