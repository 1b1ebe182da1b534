"""`tokenize`, `translate` and `generate`: texts from arguments, standard input or a conversation."""

import sys
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError, TextError, UserError
from core.files import write_text
from playground.commands.decode_settings import decode_config as decode_config
from playground.commands.decoders import Decoder, decoder_of
from playground.commands.output import say, show
from playground.commands.recipes import follow_recipe, measured_answer

if TYPE_CHECKING:
    from core.tokenizer.inspect import Stages

RUNS = {"translation": "enja-transformer", "continuation": "shakespeare-gpt"}  # where none is named
TOGETHER = 64  # texts that are decoded at a time


def tokenize(args: Namespace) -> None:
    from core.tokenizer.inspect import as_csv, count, stages, token_rows
    from playground.commands.tokenizer import chosen, counts

    tokenizer, name = chosen(args)
    texts = given_texts(args.text, "Give a text to tokenize.")
    if args.csv and len(texts) > 1:
        raise TextError(f"--csv writes the tokens of one text, not of {len(texts):,}: give one.")
    results: list[dict[str, Any]] = []
    lines: list[str] = []
    for text in texts:
        encoding = tokenizer.encode(text, parse_special=args.parse_special)
        rows, counted = token_rows(encoding, text), count(encoding, text)
        result: dict[str, Any] = {
            "text": text, "ids": encoding.ids, "tokens": [row.text for row in rows],
            "byte_spans": encoding.byte_spans, "char_spans": encoding.char_spans,
            "hex": [piece.hex() for piece in encoding.pieces], "special": encoding.special_mask,
            "characters": len(text), "bytes": sum(len(piece) for piece in encoding.pieces), "counts": counts(counted),
        }  # fmt: skip
        lines.append(f"{len(rows):,} tokens, {len(text):,} characters, {result['bytes']:,} bytes")
        lines += [f"{row.id:>8}  {row.text}{'  (special)' * row.is_special}" for row in rows]
        if args.stages:
            seen = stages(tokenizer, text, parse_special=args.parse_special)
            result["stages"] = asdict(seen)
            lines += _stage_lines(seen)
        if args.csv:
            write_text(args.csv, as_csv(encoding, text))
            say(f"The tokens are in {args.csv}.")
        results.append(result)
    show(args, {"tokenizer": name, "results": results}, lines)


def _stage_lines(seen: "Stages") -> list[str]:
    from core.tokenizer.visible import visible

    def shown(texts: Iterable[str]) -> str:
        return "|".join(visible(text.encode("utf-8")) for text in texts)

    return [
        f"normaliser: {seen.normalizer}", f"  {shown([seen.normalized])}",
        f"pre-tokeniser: {seen.pre_tokenizer}", f"  {shown(text for text, _ in seen.pre_tokens)}",
        f"model: {seen.model}", f"  {shown(token.text for token in seen.tokens)}",
        f"post-processor: {seen.post_processor}", f"  {shown(token.text for token in seen.post_processed)}",
    ]  # fmt: skip


def given_texts(texts: list[str], empty: str) -> list[str]:
    """The texts of the command line, or the lines of standard input. White space is text. TextError `empty` if there is
    nothing at all."""
    texts = texts or _input_lines(empty)
    if not any(texts):
        raise TextError(empty)
    return texts


def given_input(empty: str) -> str:
    """All of standard input as one text, without a byte order mark; bytes that are no UTF-8 become U+FFFD. TextError
    `empty` if there is nothing."""
    if sys.stdin is None or sys.stdin.isatty():
        raise TextError(empty)
    data = sys.stdin.buffer.read().decode("utf-8", "replace") if hasattr(sys.stdin, "buffer") else sys.stdin.read()
    if not (text := data.removeprefix("\ufeff")):
        raise TextError(empty)
    return text


def translate(args: Namespace) -> int | None:
    return _decode(args, "translation")


def generate(args: Namespace) -> int | None:
    return _decode(args, "continuation")


def _decode(args: Namespace, what: str) -> int | None:
    recipe = follow_recipe(args, what)
    args.run = args.run or RUNS[what]
    references = getattr(args, "reference", None)
    if args.input or args.output:
        from playground.commands.files import decode_file

        if args.trace or references or recipe:
            raise ConfigError("--trace, --reference and a recipe are for single texts: leave out --input and --output.")
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
    elif recipe is not None and not args.text:
        texts = [recipe.text]
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
    if references and len(references) != len(texts):
        raise TextError(f"There are {len(texts):,} texts but {len(references):,} references: give one for each.")
    results = []
    for place, (text, answer) in enumerate(zip(texts, decoder.answers(texts, TOGETHER), strict=True)):
        reference = references[place] if references else ""
        if args.json:
            measured = measured_answer(answer, decoder.config, reference, decoder.language)
            results.append({"text": text, what: answer.pop("text"), **answer, "measures": asdict(measured)})
            continue
        _print_answer(text, answer, what)
        if args.trace:
            _print_steps(answer)
        if reference:
            measured = measured_answer(answer, decoder.config, reference, decoder.language)
            say(f"BLEU {measured.bleu:.1f}, chrF {measured.chrf:.1f} ({measured.bleu_signature})")
    if args.json:
        show(args, {"run": decoder.name, **decoder.place, "decode": asdict(decoder.config), "results": results}, [])
    return None


def _print_answer(prompt: str, answer: dict[str, Any], what: str) -> None:
    """A translation on one line each, so that files keep step; continuations with their prompts."""
    for hypothesis in answer["hypotheses"]:
        text = " ".join(hypothesis["text"].split("\n")) if what == "translation" else prompt + hypothesis["text"]
        score = f"{hypothesis['score']:8.3f}  " if len(answer["hypotheses"]) > 1 else ""
        print(score + text, flush=True)


def _print_steps(answer: dict[str, Any]) -> None:
    """The best hypothesis token by token, and why it won a beam search."""
    print("    rank   log-prob   entropy   token")
    for step in answer["hypotheses"][0]["steps"]:
        token = step.get("text", f"#{step['id']}")
        print(f"{step['rank']:>8,} {step['logprob']:>10.4f} {step['entropy']:>9.4f}   {token}")
    if "tree" in answer:
        print(f"    {answer['tree']['why']}", flush=True)


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
    """Lines of standard input, without their line ends."""
    lines = given_input(empty).replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _refuse_empty(texts: list[str], sentence: str) -> None:
    if not texts or any(not text.strip() for text in texts):
        raise TextError(sentence)
