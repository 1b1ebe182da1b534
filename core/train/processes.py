"""One process or several: Lightning's trainer for train.devices, train.num_nodes and train.strategy.

Lightning starts the other processes of a machine by running the program again. So that this works from wherever
training was asked for, several are always started from `python -m core.train.loop DIRECTORY`, a process of its own.
"""

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy, Strategy

from core.child import environment
from core.config import TrainConfig
from core.errors import ConfigError, RunError
from core.run import Status, read_config, read_status
from core.train.precision import LIGHTNING

LAUNCHED = "LLM_SCRATCH_LAUNCHED"
PATIENCE = timedelta(days=7)  # that processes wait for each other: the first may validate long, or be paused


def is_first() -> bool:
    """Whether this process is the one that writes: the only one, or the first of the first machine."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0


def wanted_processes(directory: Path) -> bool:
    train = read_config(directory).train
    return _devices(train) > 1 or train.num_nodes > 1


def _devices(train: TrainConfig) -> int:
    return train.devices or max(1, torch.cuda.device_count())


def make_trainer(train: TrainConfig, callbacks: list[L.Callback], directory: Path) -> L.Trainer:
    """A trainer that only steps: what is written, validated and logged is the callbacks' business."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    gpus = torch.cuda.device_count()
    if gpus and _devices(train) > gpus:
        raise ConfigError(f"train.devices is {train.devices}, but this machine has {gpus} GPU{'s' * (gpus > 1)}.")
    return L.Trainer(
        accelerator="cuda" if gpus else "cpu" if _devices(train) > 1 else "auto",
        devices=_devices(train),
        num_nodes=train.num_nodes,
        strategy=_strategy(train),
        precision=LIGHTNING[train.precision],  # type: ignore[arg-type]
        max_epochs=-1,
        max_steps=-1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=directory,
    )


def _strategy(train: TrainConfig) -> "Strategy | str":
    if _devices(train) == 1 and train.num_nodes == 1:
        return "auto"
    if train.strategy == "fsdp":
        from core.train.sharding import ShardedStrategy as chosen
    else:
        chosen = DDPStrategy  # type: ignore[assignment, misc]
    return chosen(timeout=PATIENCE, process_group_backend="nccl" if torch.cuda.is_available() else "gloo")


def train_in_processes(directory: Path, resume: bool, echo: Callable[[str], None] | None) -> Status:
    """Have the run trained by `python -m core.train.loop`, which starts the others. RunError if it fails."""
    command = [sys.executable, "-m", "core.train.loop", str(directory), "--echo", *(["--resume"] if resume else [])]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        while line := _next_line(process.stdout):
            if echo is not None:
                echo(line.rstrip("\n"))
    status = read_status(directory)
    if process.returncode or status.is_active:
        raise RunError(status.error or f"Training in several processes ended with code {process.returncode}.")
    return status


def _next_line(lines: Any) -> str:
    """Ctrl-C reaches all processes; those that train stop after their step, and this one waits for them."""
    while True:
        try:
            return lines.readline()  # type: ignore[no-any-return]
        except KeyboardInterrupt:
            continue
