"""Decoding: from a model's logits to text, one engine for all families and strategies.

    generate(run, ["i would like a cup of coffee ."], GenerationConfig(strategy="beam"))[0].text
    for event in stream(run, "once upon a time", GenerationConfig(strategy="sample", top_p=0.9)): print(event.text)

Names are imported when they are first used: core.config needs GenerationConfig and must not pull in torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.decode.config import GenerationConfig as GenerationConfig
    from core.decode.result import Generation as Generation
    from core.decode.result import Hypothesis as Hypothesis
    from core.decode.result import StreamEvent as StreamEvent
    from core.decode.result import Work as Work
    from core.decode.search import generate as generate
    from core.decode.search import generate_ids as generate_ids
    from core.decode.search import stream as stream
    from core.decode.search import stream_ids as stream_ids
    from core.decode.trace import Candidate as Candidate
    from core.decode.trace import Distribution as Distribution
    from core.decode.trace import StepTrace as StepTrace

_HOME = {
    "GenerationConfig": "config",
    "Candidate": "trace",
    "Distribution": "trace",
    "Generation": "result",
    "Hypothesis": "result",
    "StepTrace": "trace",
    "StreamEvent": "result",
    "Work": "result",
    "generate": "search",
    "generate_ids": "search",
    "stream": "search",
    "stream_ids": "search",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"core.decode.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
