"""The stand-in for Modal with what decodes deployed there, and small runs on its Volume; for tests of both sides."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remote import names
from tests.playground.conftest import make_run
from tests.remote.modal_stand_in import ModalStandIn


@contextmanager
def inference_server(directory: Path) -> Iterator[ModalStandIn]:
    """Runs of the Volume: "tiny-gpt", "tiny-llama" (the same tokenizer), "tiny-transformer", and "long-gpt", whose
    context is long enough that writing takes a while."""
    from remote.infer import app

    with ModalStandIn(directory) as server, server.in_this_process():
        server.containers.environment["OMP_NUM_THREADS"] = "1"
        for name in ("gpt", "llama", "transformer"):
            make_run(f"tiny-{name}", name, runs_of(server))
        make_run("long-gpt", "gpt", runs_of(server), max_seq_len=4_000)
        app.deploy()
        yield server
        assert not server.errors, server.errors[0]


def runs_of(server: ModalStandIn) -> Path:
    return server.volume(names.VOLUME) / "runs"
