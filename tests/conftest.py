"""For all tests."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes share the cores: threads of one would only wait for those of another. Before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Files that take minutes are begun first, so that no process works on one alone at the end.
LONG = ("test_demo.py", "test_decode_engine.py", "test_backend.py", "test_sweeps.py", "test_page.py", "test_attempt.py",
        "test_processes.py", "test_resume.py", "test_modal_stand_in.py", "test_remote_text.py")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))  # stable: the rest stays in its order
