"""Training as functions of the cloud: a run's name and configuration in, a run directory on the Volume out.

What is done in a container is in attempt.py; here is what Modal is to know of it.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import modal

from remote import names, prices
from remote.image import app, commit, is_cloud, reload, secrets, volumes
from remote.training.attempt import Attempt, Order

# Of what interrupts a function Modal counts only failures, not preemptions. Each time the run goes on from its last
# checkpoint.
RETRIES = modal.Retries(max_retries=4, backoff_coefficient=1.0, initial_delay=10.0)
OPTIONS: dict[str, Any] = {
    "gpu": names.DEFAULT_GPU,
    "cpu": prices.CORES,
    "memory": int(prices.MEMORY_GIB * 1024),
    "timeout": names.MAX_HOURS * 3600,
    "retries": RETRIES,
    "volumes": volumes,
    "secrets": secrets("wandb"),
    "single_use_containers": True,  # a training may leave memory behind that the next one needs
}
PORT = 29_500  # at which the hosts of a cluster find the first one


@app.function(**OPTIONS)
def train_run(order: dict[str, Any]) -> dict[str, Any]:
    """Train the run that `order` (the fields of attempt.Order) asks for. Returns the fields of its last status.

    Called again with the same order, it goes on from what is on the Volume; a run that has ended is only told.
    """
    attempt = _attempt(order)
    if attempt.nodes > 1:
        return attempt.refuse(f"train.num_nodes is {attempt.nodes}: deploy with --nodes {attempt.nodes}, and resume.")
    return attempt.work()


if names.cluster_nodes():

    @app.function(**OPTIONS)
    @modal.clustered(size=names.cluster_nodes(), rdma=True)
    def train_cluster(order: dict[str, Any]) -> dict[str, Any]:
        """`train_run` on each of several hosts at once. The first one writes; all begin with the same checkpoint, as
        nobody writes another before all of them train."""
        cluster = modal.Cluster.from_context()
        attempt = _attempt(order)
        if attempt.nodes != names.cluster_nodes():
            return attempt.refuse(
                f"train.num_nodes is {attempt.nodes}, but the app is deployed for {names.cluster_nodes()} hosts."
            )
        attempt.writes = cluster.container_rank() == 0
        attempt.environment = {
            "NODE_RANK": str(cluster.container_rank()),
            "MASTER_ADDR": cluster.container_ips()[0],
            "MASTER_PORT": str(PORT),
        }
        return attempt.work()


def _attempt(values: dict[str, Any]) -> Attempt:
    order = Order.from_dict(values)
    reload()
    if (
        order.log
        and os.environ.get("WANDB_API_KEY")
        and order.config.get("train", {}).get("wandb", "disabled") == "disabled"
    ):
        # Who deploys the app with a key for wandb wants its runs to be logged.
        order.config["train"] = {**order.config.get("train", {}), "wandb": "auto"}
    scratch = Path(tempfile.gettempdir()) / "llm-scratch" / "runs"
    call_id = modal.current_function_call_id() or ""
    return Attempt(order, scratch, names.RUNS, feed(), commit, call_id)


def feed() -> Any:
    """The Dict that pages follow; by `.local()`, where there may be no account, one that nobody sees."""
    return _CloudFeed() if is_cloud() else _NoFeed()


class _CloudFeed:
    def __init__(self) -> None:
        self._dict = modal.Dict.from_name(names.FEED, create_if_missing=True)

    def get(self, key: str) -> Any:
        try:
            return self._dict.get(key)
        except Exception as error:  # a wish that cannot be read now is read the next time
            print(f"the feed was not read: {type(error).__name__}: {error}", flush=True)
            return None

    def put(self, key: str, value: Any) -> None:
        self._dict.put(key, value)


class _NoFeed:
    def get(self, key: str) -> Any:
        return None

    def put(self, key: str, value: Any) -> None:
        pass
