"""Render one chat template, of anybody's, in a process of its own with limits of time and memory.

python -I process.py < question.json      what core.tokenizer.chat runs; the answer is one JSON document

The template sees what transformers shows it: plain values, trim_blocks and lstrip_blocks, the loop controls, tojson
without HTML escapes, strftime_now, raise_exception and the tag {% generation %}, in Jinja's immutable sandbox.
"""

import contextlib
import json
import resource
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MEMORY = 1 << 29  # bytes more than the process has at its start


class _Generation(Extension):
    """{% generation %} … {% endgeneration %}: what stands within was written by the assistant."""

    tags = {"generation"}
    so_far: Callable[[], int] = staticmethod(lambda: 0)  # characters written
    spans: list[tuple[int, int]] = []

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

    def _written(self, caller: Macro) -> str:
        text = caller()
        start = _Generation.so_far()
        _Generation.spans.append((start, start + len(text)))
        return text


class _Dict:
    """`dict` in templates: makes dictionaries, and has nothing else to reach for."""

    def __call__(self, *values: Any, **named: Any) -> dict[Any, Any]:
        return dict(*values, **named)

    def fromkeys(self, *values: Any) -> dict[Any, Any]:
        return dict.fromkeys(*values)


class _Namespace(Namespace):
    """`namespace` in templates, without names that begin with an underscore."""

    def __init__(*values: Any, **named: Any) -> None:  # noqa: B902 - so that `namespace(self=...)` is a name like others
        self, rest = values[0], values[1:]
        attributes = dict(*rest, **named)
        for name in attributes:
            _Namespace._check(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _Namespace._check(name)
        Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace cannot keep {name!r}")


def _raise(message: Any) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def render(question: dict[str, Any]) -> dict[str, Any]:
    """{"text", "generated"} or {"error"}: a sentence."""
    jinja = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    jinja.filters["tojson"] = _tojson
    jinja.globals |= {
        "raise_exception": _raise,
        "strftime_now": lambda form: datetime.now().strftime(form),
        "dict": _Dict(),
        "namespace": _Namespace,
    }
    written: list[str] = []
    length = 0
    _Generation.so_far = staticmethod(lambda: length)
    _Generation.spans = []
    variables = {key: question[key] for key in ("messages", "tools", "documents", "add_generation_prompt")}
    try:
        template = jinja.from_string(question["template"])
        for part in template.generate(**{**variables, **question["variables"]}):
            length += len(part)
            if length > question["max_output"]:
                limit = question["max_output"]
                return {"error": f"The chat template writes more than {limit:,} characters; it cannot be used."}
            written.append(part)
    except jinja2.TemplateSyntaxError as error:
        return {"error": f"The chat template is not valid Jinja: line {error.lineno}: {_said(error)}."}
    except jinja2.exceptions.SecurityError as error:
        return {"error": f"The chat template does what a template must not do: {_said(error)}."}
    except jinja2.UndefinedError as error:
        return {"error": f"The chat template asks for what is not there: {_said(error)}."}
    except jinja2.TemplateError as error:
        return {"error": f"The chat template refuses these messages: {_said(error)}."}
    except MemoryError:
        return {"error": "The chat template needs too much memory; it cannot be used."}
    except RecursionError:
        return {"error": "The chat template calls itself without end, or is nested too deep; it cannot be used."}
    except Exception as error:
        return {"error": f"The chat template fails: {_said(error)}."}
    return {"text": "".join(written), "generated": _Generation.spans}


def _said(error: Exception) -> str:
    return (" ".join(str(error).split())[:300] or type(error).__name__).rstrip(".")


def _limit(seconds: float) -> None:
    """From here on: no more time, memory, files or processes than a template needs."""
    with open("/proc/self/statm" if sys.platform == "linux" else "/dev/null", encoding="ascii") as file:
        pages = file.read().split()
    has = int(pages[0]) * resource.getpagesize() if pages else 1 << 32
    for limit, most in (
        (resource.RLIMIT_AS, has + MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # where the system has no such limit
            resource.setrlimit(limit, (most, most))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the system ends the process, whatever it is at
    signal.setitimer(signal.ITIMER_REAL, seconds)


def main() -> None:
    question = json.load(sys.stdin)
    _limit(float(question["limit"]))
    answer = json.dumps(render(question))
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.write(answer)


if __name__ == "__main__":
    main()
