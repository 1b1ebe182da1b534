"""A stand-in for Modal's server, for all tests of this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.modal_stand_in import ModalStandIn


@pytest.fixture
def modal_server(tmp_path: Path) -> Iterator[ModalStandIn]:
    """A running stand-in that this process's modal, and processes started from here, speak to."""
    with ModalStandIn(tmp_path / "modal") as server, server.in_this_process():
        yield server
        assert not server.errors, server.errors[0]
