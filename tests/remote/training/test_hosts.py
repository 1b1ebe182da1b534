"""Training on several hosts, as the clustered function does it: two attempts on one machine, with a folder each."""

import os
import socket
import threading

from core.files import read_jsonl
from core.run import create_run
from core.train.loop import train
from remote.training.attempt import Attempt, Order
from tests.core.train.conftest import files  # noqa: F401
from tests.core.train.tiny_runs import config


class Feed(dict):
    def put(self, key, value):
        self[key] = value


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def on_hosts(order, tmp_path, feed):
    """Both hosts of one call; what the first one returns."""
    port, found = free_port(), {}

    def host(rank):
        environment = {"NODE_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        attempt = Attempt(order, tmp_path / f"host-{rank}", tmp_path / "kept", feed, environment=environment)
        attempt.writes = rank == 0
        found[rank] = attempt.work()

    hosts = [threading.Thread(target=host, args=(rank,)) for rank in (0, 1)]
    for thread in hosts:
        thread.start()
    for thread in hosts:
        thread.join(120)
    return found


def losses(directory):
    return {line["step"]: line["val_loss"] for line in read_jsonl(directory / "metrics.jsonl") if "val_loss" in line}


def test_two_hosts_train_what_one_does(files, tmp_path):  # noqa: F811
    settings = config(files, "model.dropout=0")
    one = create_run(settings, "one", tmp_path)
    train(one)
    feed, both = Feed(), settings.with_overrides(["train.num_nodes=2", "train.stop_at=8"])
    found = on_hosts(Order("two", both.to_dict(), "a"), tmp_path, feed)
    assert found[0]["state"] == "cancelled" and found[0]["step"] == 8 and 1 in found, found
    # Gone on with from what the first host kept.
    more = Order("two", both.to_dict(), "b", True, ("train.stop_at=0",))
    found = on_hosts(more, tmp_path, feed)
    assert found[0]["state"] == "done" and found[0]["step"] == 24 and 1 in found, found
    ours, theirs = losses(tmp_path / "kept" / "two"), losses(one)
    assert ours.keys() == theirs.keys()
    assert all(abs(ours[step] - theirs[step]) < 2e-3 for step in theirs), (ours, theirs)
    assert feed["two"]["status"]["state"] == "done" and os.listdir(tmp_path / "kept" / "two" / "checkpoints")
