"""Training from start to end: a configuration and an empty run directory in, a trained run out."""

import dataclasses
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from core.errors import RunError, UserError
from core.files import out_of_space, read_jsonl, write_json, write_text
from core.model import build_model
from core.run import Run, Status, read_config, read_status
from core.train.averaging import AveragedWeights
from core.train.callbacks import Recorder
from core.train.checkpoint import read_checkpoint
from core.train.data_module import Prepared, TrainingData
from core.train.memory import keep_memory
from core.train.module import TrainingModule
from core.train.precision import choose_precision, computes_in
from core.train.processes import LAUNCHED, is_first, make_trainer, train_in_processes, wanted_processes
from core.train.resuming import check_resumable
from core.train.sharding import is_sharded, restore_optimizers
from core.train.throughput import memory_held
from core.train.wandb_log import start as start_wandb

WORDS = {
    "": "finished",
    "early": "stopped early",
    "stopped": "stopped; best and last are kept",
    "asked": "stopped at the step that train.stop_at names",
}


def train(directory: Path, resume: bool = False, echo: Callable[[str], None] | None = None) -> Status:
    """Train the run that `core.run.create_run` made, or go on with it. Returns its last status.

    Whatever ends training early is written into status.json; a UserError is raised again for the caller to show.
    Several processes (train.devices, train.num_nodes) are started by a process of their own, which calls this again.
    """
    if resume and is_first():
        check_resumable(directory)
    if wanted_processes(directory) and not os.environ.get(LAUNCHED):
        return train_in_processes(directory, resume, echo)
    log = open(directory / "train.log" if is_first() else os.devnull, "a", encoding="utf-8", buffering=1)

    def say(text: str) -> None:
        log.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
        if echo is not None and is_first():
            echo(text)

    try:
        return _train(directory, resume, say)
    except BaseException as error:
        text = str(error) if isinstance(error, UserError) else _sentence(error)
        if is_first():
            state = "cancelled" if isinstance(error, KeyboardInterrupt) else "failed"
            now = read_status(directory)
            try:
                dataclasses.replace(now, state=state, error=text, eta=None, message="").write(directory)
                say(text)
            except (OSError, RunError):
                pass  # the disk may be what failed; the error itself is raised
        if isinstance(error, (UserError, KeyboardInterrupt)):
            raise
        if out_of_space(error):
            raise RunError(text) from error
        import traceback

        log.write(traceback.format_exc())
        raise
    finally:
        log.close()


def _sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted; the last checkpoint stands."
    if out_of_space(error):
        return "There is no space left on the disk; the last checkpoint stands. Free some space and resume."
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "The memory is full: choose a smaller model, a smaller train.batch_tokens or more train.accumulate."
    return f"Training failed: {type(error).__name__}: {str(error)[:300]}"


def _train(directory: Path, resume: bool, say: Callable[[str], None]) -> Status:
    config = read_config(directory)
    started = time.time()
    if is_first():
        before = read_status(directory)
        Status(
            state="running", step=before.step if resume else 0, steps=config.train.max_steps, pid=os.getpid(),
            started=started, message="preparing",
        ).write(directory)  # fmt: skip
        if before.pid != os.getpid():  # else whoever started this process has: a wish that is there is a new one
            for name in ("stop", "pause"):
                (directory / name).unlink(missing_ok=True)
    checkpoint = read_checkpoint(directory, say) if resume else None
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    _seed(config.seed)
    keep_memory()

    prepared = Prepared(config, directory, say)
    size = prepared.tokenizer.vocab_size
    if config.model.vocab_size not in (0, size):
        say(f"model.vocab_size is {size:,}, the tokenizer's, not {config.model.vocab_size:,}")
    precision: Any = choose_precision(config.train.precision, config.model.d_model)
    # One that was slow before was wanted; one that was not comes from another machine.
    if checkpoint is not None and checkpoint.get("has_units", True) and not computes_in(precision):
        slow, precision = precision, choose_precision("auto", config.model.d_model)
        say(f"this machine has no units for precision {slow}, with which the run began: it goes on with {precision}")
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, vocab_size=size),
        train=dataclasses.replace(config.train, precision=precision),  # a resumed run keeps it
    )
    if is_first():
        if not (directory / "tokenizer.json").exists():
            write_text(directory / "tokenizer.json", prepared.tokenizer.to_json())
        write_json(directory / "config.json", config.to_dict())

    _seed(config.seed)
    model = build_model(config.model)
    say(f"{model.num_parameters():,} parameters; {prepared.size}")
    run = Run(directory.name, config, prepared.tokenizer, directory)
    module = TrainingModule(model, config)
    recorder = Recorder(run, prepared, AveragedWeights(config.train.ema_decay, config.train.average_last), say)
    recorder.started = started
    if checkpoint is not None:
        recorder.restore(module, checkpoint)
        if is_first():
            _forget_after(directory, module.step)
        say(f"going on from step {module.step:,}")
    if module.step < min(config.train.max_steps, config.train.stop_at or config.train.max_steps):
        recorder.wandb_log = start_wandb(config, directory, say) if is_first() else None
        completed = False
        try:
            _fit(module, TrainingData(prepared, config.train.accumulate, module.place), recorder, checkpoint)
            completed = True
        finally:
            if recorder.wandb_log is not None:
                recorder.wandb_log.finish(completed)
    elif module.step < config.train.max_steps:
        recorder.stopped_by = "asked"
    status = Status(
        state="cancelled" if recorder.stopped_by in ("stopped", "asked") else "done",
        step=module.step,
        steps=config.train.max_steps,
        tokens_per_second=round(recorder.rate, 1),
        pid=os.getpid(),
        started=started,
        seconds=round(recorder.elapsed(), 2),
        peak_share=recorder.share,
        memory_bytes=memory_held(module.device),
        wandb_url=recorder.wandb_log.url if recorder.wandb_log else "",
        message=WORDS[recorder.stopped_by],
    )
    if is_first():
        status.write(directory)
        for name in ("stop", "pause"):
            (directory / name).unlink(missing_ok=True)
    say(f"{status.message}: best validation loss {recorder.best:.4f}")
    return status


def _fit(module: TrainingModule, data: TrainingData, recorder: Recorder, checkpoint: dict[str, Any] | None) -> None:
    trainer = make_trainer(module.run_config.train, [_Restore(checkpoint), recorder], recorder.directory)
    stop_file = recorder.directory / "stop"

    def ask_to_stop(*_: Any) -> None:
        stop_file.touch()

    before = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, ask_to_stop)
    except ValueError:  # not in the main thread, where signals do not arrive anyway
        pass
    try:
        module.train()
        trainer.fit(module, data)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Restore(L.Callback):
    """Optimisers are made when training starts; their state is put back right after that."""

    def __init__(self, checkpoint: dict[str, Any] | None) -> None:
        self.checkpoint = checkpoint

    def on_train_start(self, trainer: L.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        if self.checkpoint is None:
            return
        optimizers = [wrapped.optimizer for wrapped in module.all_optimizers()]
        if is_sharded(module.model):
            return restore_optimizers(module.model, optimizers, self.checkpoint["optimizers"])
        for optimizer, state in zip(optimizers, self.checkpoint["optimizers"]):
            optimizer.load_state_dict(state)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _forget_after(directory: Path, step: int) -> None:
    """Lines of steps after the checkpoint are written again by the resumed run."""
    for name in ("metrics.jsonl", "samples.jsonl"):
        kept = [line for line in read_jsonl(directory / name) if line.get("step", 0) <= step]
        write_text(directory / name, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))


if __name__ == "__main__":  # python -m core.train.loop DIRECTORY [--resume] [--echo]: how the app starts a run
    os.environ[LAUNCHED] = "1"
    try:
        train(Path(sys.argv[1]), "--resume" in sys.argv[2:], print if "--echo" in sys.argv[2:] else None)
    except UserError as problem:
        print(problem, file=sys.stderr)
        sys.exit(1)
