"""`tokenize`, `translate` and `generate`: texts from arguments, standard input or a conversation."""

import sys
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from core.errors import TextError, UserError
from playground.commands.decode_settings import decode_config as decode_config
from playground.commands.decoders import Decoder, decoder_of
from playground.commands.output import download_progress, say, show

TOGETHER = 64  # texts that are decoded at a time


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


def translate(args: Namespace) -> int | None:
    return _decode(args, "translation")


def generate(args: Namespace) -> int | None:
    return _decode(args, "continuation")


def _decode(args: Namespace, what: str) -> int | None:
    if args.input or args.output:
        from playground.commands.files import decode_file

        return decode_file(args, what)
    decoder = decoder_of(args, what)
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
        _converse(decoder, what)
        return None
    else:
        texts = _input_lines(empty)
        if not any(text.strip() for text in texts):
            raise TextError(empty)
    decoder.check(texts)
    results = []
    for text, answer in zip(texts, decoder.answers(texts, TOGETHER), strict=True):
        if args.json:
            results.append({"text": text, what: answer.pop("text"), **answer})
        else:
            _print_answer(text, answer, what)
    if args.json:
        show(args, {"run": decoder.name, **decoder.place, "decode": asdict(decoder.config), "results": results}, [])
    return None


def _print_answer(prompt: str, answer: dict[str, Any], what: str) -> None:
    """A translation on one line each, so that files keep step; continuations with their prompts."""
    for hypothesis in answer["hypotheses"]:
        text = " ".join(hypothesis["text"].split("\n")) if what == "translation" else prompt + hypothesis["text"]
        score = f"{hypothesis['score']:8.3f}  " if len(answer["hypotheses"]) > 1 else ""
        print(score + text, flush=True)


def _converse(decoder: Decoder, what: str) -> None:
    """Ask for a text, answer it, until the end of input."""
    say(f"{decoder.name}: type a {'sentence' if what == 'translation' else 'prompt'} and Enter; Ctrl-D ends.")
    decoder.open()
    while True:
        try:
            text = input("> ")
        except EOFError:
            say("")
            return
        if not text.strip():
            continue
        try:
            shown = ""
            for event in decoder.stream(text):
                if decoder.config.rows == 1 or decoder.config.strategy == "contrastive":
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


def _input_lines(empty: str) -> list[str]:
    """Lines of standard input, without their line ends and a byte order mark; bytes that are no UTF-8 become U+FFFD."""
    if sys.stdin is None or sys.stdin.isatty():
        raise TextError(empty)
    data = sys.stdin.buffer.read().decode("utf-8", "replace") if hasattr(sys.stdin, "buffer") else sys.stdin.read()
    lines = data.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _refuse_empty(texts: list[str], sentence: str) -> None:
    if not texts or any(not text.strip() for text in texts):
        raise TextError(sentence)
