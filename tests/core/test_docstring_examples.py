"""The examples in docstrings are true: each is run, and prints what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import core

ROOM = Path(core.__file__).parent
MODULES = [
    ".".join(path.relative_to(ROOM.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(ROOM.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed
