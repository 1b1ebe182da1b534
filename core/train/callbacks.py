"""What happens between steps: figures, validation, checkpoints, samples, and the wish to pause or stop."""

import os
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch

from core.files import append_jsonl
from core.model import LanguageModel
from core.run import Run, Status, save_model
from core.train.averaging import AveragedWeights
from core.train.checkpoint import write_checkpoint
from core.train.data_module import Prepared
from core.train.memory import release_memory
from core.train.module import TrainingModule, validation_loss
from core.train.precision import computes_in
from core.train.sharding import is_sharded, whole_model, whole_state
from core.train.throughput import machine_peak, memory_held
from core.train.trials import translation_scores, write_samples
from core.train.wandb_log import WandbLog

LEAST_MEMORY = 1 << 30  # bytes up to which a process on a CPU keeps what it has freed
BEAT = 30.0  # seconds between two signs of life of a run that waits


class Recorder(L.Callback):
    """Writes the run directory while the model trains. It is the only one that does.

    Of several processes the first does all of this; the others only learn from it when to end.
    """

    def __init__(self, run: Run, prepared: Prepared, averaged: AveragedWeights, say) -> None:  # type: ignore[no-untyped-def]
        self.run, self.prepared, self.averaged, self.say = run, prepared, averaged, say
        self.wandb_log: WandbLog | None = None
        self.directory: Path = run.directory
        self.config = run.config
        self.best = float("inf")
        self.bad_validations = 0
        self.seconds = 0.0  # of training, over all sessions of a resumed run
        self.stopped_by = ""  # why training ended before its last step: "stopped", "early", "asked"
        self.window_loss = torch.zeros(())
        self.window_steps, self.window_tokens, self.window_operations = 0, 0, 0.0
        self.last_validation = -1  # the step of it
        self.rate = 0.0
        self.most_memory = LEAST_MEMORY
        self.share: float | None = None  # of the machine's peak
        self.peak = 0.0
        self.clock = self.window_clock = time.monotonic()
        self.started = 0.0  # time.time() at which this session of training began
        self.whole: dict[str, Any] = {}  # of a model that is cut up among processes: the last whole state
        self.val_batches = prepared.val_batches(self.config.train.val_batches)
        self.val_whole = len(self.val_batches) == len(prepared.val_batches())

    # -- Lightning's hooks ---------------------------------------------------------------------------------------

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            self.peak = trainer.world_size * machine_peak(module.device, self.config.train.precision)
            self.averaged.to(module.device)
            self.clock = self.window_clock = time.monotonic()
            self.status(module, "training")  # type: ignore[arg-type]

    def on_train_batch_end(self, trainer, module: TrainingModule, *_: Any) -> None:  # type: ignore[no-untyped-def, override]
        ends, several = False, trainer.world_size > 1
        if is_sharded(module.model):  # what the first process is going to do needs the others' parts of the weights
            asked = any((self.directory / name).exists() for name in ("stop", "pause"))
            if trainer.strategy.broadcast(asked or self.is_due(module.step)):
                self.gather(trainer, module)
        if trainer.is_global_zero:
            if module.notice:
                self.say(module.notice)
                module.notice = ""
            self.averaged.after_step(module.model, module.step)
            ends = self.after_step(module) or self.wait_while_paused(module)
        if several:  # all processes end at the same step: the first one's word holds
            ends = trainer.strategy.broadcast(ends)
        if ends:
            trainer.should_stop = True

    def is_due(self, step: int) -> bool:
        """Whether something is validated, written or saved after this step."""
        train = self.config.train
        every = [n for n in (train.val_every, train.sample_every, train.checkpoint_every) if n]
        due = any(step % n == 0 for n in every) or step in (train.max_steps, train.stop_at)
        return due or bool(train.snapshots and self.is_snapshot(step))

    def gather(self, trainer: L.Trainer, module: TrainingModule) -> None:
        state = whole_state(module.model, [o.optimizer for o in module.all_optimizers()])
        if trainer.is_global_zero:
            self.whole = {**state, "copy": whole_model(module.model, state["model"])}

    def model(self, module: TrainingModule) -> LanguageModel:
        """The model as what is validated, sampled from and saved: whole."""
        model: LanguageModel = self.whole["copy"] if is_sharded(module.model) else module.model
        return model

    def after_step(self, module: TrainingModule) -> bool:
        """All that is due after a step. Returns whether training ends with it."""
        train, step = self.config.train, module.step
        self.window_loss = self.window_loss + module.last["loss"]
        self.window_steps += 1
        self.window_operations += module.operations
        if step >= train.max_steps:
            ends = True
        elif (self.directory / "stop").exists():
            ends, self.stopped_by = True, "stopped"
        elif train.stop_at and step >= train.stop_at:
            ends, self.stopped_by = True, "asked"
        else:
            ends = False
        if step % train.log_every == 0 or ends or step == 1:
            self.log_step(module)
        better = False
        if step % train.val_every == 0 or ends:
            better = self.validate(module)
            if train.patience and self.bad_validations >= train.patience and not ends:
                ends, self.stopped_by = True, "early"
                self.say(f"no better validation loss in {self.bad_validations} validations: stopping early")
        if train.sample_every and (step % train.sample_every == 0 or ends):
            self.sample(module)
        if train.snapshots and self.is_snapshot(step):
            self.snapshot(module)
        # A new best is always in the last checkpoint too: what is resumed then knows it.
        if step % train.checkpoint_every == 0 or better or ends:
            self.checkpoint(module, better)
        return ends

    def wait_while_paused(self, module: TrainingModule) -> bool:
        """While there is a file `pause`, nothing is computed. A stop ends the pause and, with it, training."""
        pause = self.directory / "pause"
        if not pause.exists():
            return False
        self.checkpoint(module)  # whoever ends the process while it waits loses nothing
        self.say(f"paused after step {module.step:,}")
        began = beat = time.monotonic()
        self.status(module, "paused")
        ends = False
        while pause.exists() and not ends:
            ends = (self.directory / "stop").exists()
            time.sleep(0.1)
            if time.monotonic() - beat > BEAT:
                beat = time.monotonic()
                self.status(module, "paused")
        waited = time.monotonic() - began
        self.clock += waited
        self.window_clock += waited
        self.say(f"going on after {waited:.0f} s")
        if ends:
            pause.unlink(missing_ok=True)
            self.stopped_by = "stopped"
            better = self.validate(module)
            self.checkpoint(module, better)
        else:
            self.status(module, "training")
        return ends

    # -- figures ---------------------------------------------------------------------------------------------------

    def elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.clock

    def log_step(self, module: TrainingModule) -> None:
        loss, norm = float(self.window_loss) / self.window_steps, float(module.last["grad_norm"])  # waits for a GPU
        now = time.monotonic()
        window = max(now - self.window_clock, 1e-9)
        rate = (module.tokens - self.window_tokens) / window
        self.rate = rate if not self.rate else 0.7 * self.rate + 0.3 * rate
        self.share = self.window_operations / window / self.peak
        record = {
            "step": module.step,
            "loss": round(loss, 6),
            "lr": module.last["lr"],
            "grad_norm": round(norm, 6),
            "tokens_per_second": round(rate, 1),
            "peak_share": round(self.share, 4),
            "memory_bytes": memory_held(module.device),
            "tokens": module.tokens,
            "epoch": round(self.prepared.epoch_of(module.place), 4),
            "seconds": round(self.elapsed(), 2),
        }
        self.record(record)
        self.say(
            f"step {module.step:>6,}/{self.config.train.max_steps:,}  loss {record['loss']:.4f}  "
            f"lr {record['lr']:.2e}  {rate:,.0f} tokens/s"
        )
        self.window_loss, self.window_steps, self.window_operations = torch.zeros(()), 0, 0.0
        self.window_tokens, self.window_clock = module.tokens, now
        self.limit_memory(module.device)
        self.status(module, "training")

    def limit_memory(self, device: torch.device) -> None:
        """Batches of many shapes leave gaps in the memory of the process: not more than is in use again."""
        if device.type == "cpu" and (memory_held(device) or 0) > self.most_memory:
            release_memory()
            self.most_memory = max(LEAST_MEMORY, 2 * (memory_held(device) or 0))

    def record(self, values: dict[str, Any]) -> None:
        append_jsonl(self.directory / "metrics.jsonl", {**values, "time": round(time.time(), 3)})

    def status(self, module: TrainingModule, message: str) -> None:
        train = self.config.train
        left = min(train.max_steps, train.stop_at or train.max_steps) - module.step
        per_step = (self.elapsed() / module.step) if module.step else None
        state = "paused" if message == "paused" else "running"
        Status(
            state="stopping" if (self.directory / "stop").exists() else state,
            step=module.step,
            steps=train.max_steps,
            tokens_per_second=round(self.rate, 1),
            eta=round(left * per_step, 1) if per_step else None,
            pid=os.getpid(),
            started=self.started,
            message=message,
            peak_share=round(self.share, 4) if self.share is not None else None,
            memory_bytes=memory_held(module.device),
            seconds=round(self.elapsed(), 2),
            wandb_url=self.wandb_log.url if self.wandb_log else "",
        ).write(self.directory)

    # -- validation, samples, files ----------------------------------------------------------------------------------

    def validate(self, module: TrainingModule) -> bool:
        """Measure the loss on the validation data, of the averaged weights if there are; keep the weights if it is the
        best so far. Returns whether it is."""
        if self.last_validation == module.step:
            return False
        begin = time.monotonic()
        self.last_validation = module.step
        self.status(module, "validating")
        model = self.model(module)
        self.averaged.before_validation(model)
        with self.averaged.applied(model):
            total, tokens = validation_loss(model, self.val_batches)
            loss = total / tokens
            better = loss < self.best
            if better:
                self.best, self.bad_validations = loss, 0
                save_model(model, self.directory / "model.safetensors")
            else:
                self.bad_validations += 1
            scores = self.scores(model)
        record = {"step": module.step, "val_loss": round(loss, 6), "val_tokens": tokens, **scores}
        if not self.prepared.is_pairs and self.val_whole:
            record["val_bits_per_byte"] = round(total / 0.6931471805599453 / self.prepared.val_bytes, 6)
        self.record({**record, "seconds": round(self.elapsed(), 2)})
        told = "".join(f"  {name} {value:.1f}" for name, value in scores.items())
        self.say(f"step {module.step:>6,}  validation loss {loss:.4f} a token{told}" + ("  (best)" if better else ""))
        self.window_clock += time.monotonic() - begin  # tokens/s are those of training
        return better

    def scores(self, model: LanguageModel) -> dict[str, float]:
        count = self.config.train.score_examples
        if not count or not self.prepared.is_pairs:
            return {}
        return self.writing(model, lambda: translation_scores(self.run, self.prepared, count))

    def sample(self, module: TrainingModule) -> None:
        begin, model = time.monotonic(), self.model(module)
        with self.averaged.applied(model):
            samples = self.writing(model, lambda: write_samples(self.run, self.prepared))
        append_jsonl(self.directory / "samples.jsonl", {"step": module.step, "samples": samples})
        first = samples[0]
        self.say(f"sample: {first['prompt']!r} -> {first['output'][:160]!r}")
        self.window_clock += time.monotonic() - begin

    def writing(self, model: LanguageModel, act):  # type: ignore[no-untyped-def]
        """Do `act` with the run's model being the one that is trained, in evaluation mode."""
        self.run.__dict__["model"] = model
        model.eval()
        try:
            return act()
        finally:
            model.train()

    def is_snapshot(self, step: int) -> bool:
        """Snapshots are spread over the run, denser at the start, where a model changes most."""
        count, last = self.config.train.snapshots, self.config.train.max_steps
        return step in {max(1, round(last * ((i + 1) / count) ** 2)) for i in range(count)}

    def snapshot(self, module: TrainingModule) -> None:
        (self.directory / "snapshots").mkdir(exist_ok=True)
        model = self.model(module)
        with self.averaged.applied(model):
            save_model(model, self.directory / "snapshots" / f"step-{module.step:06d}.safetensors", half=True)

    def checkpoint(self, module: TrainingModule, best: bool = False) -> None:
        """All that is needed to go on. The random numbers are not in it: a step's follow from its number."""
        whole = (
            self.whole
            if is_sharded(module.model)
            else {
                "model": module.model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in module.all_optimizers()],
            }
        )
        state = {
            "model": whole["model"],
            "optimizers": whole["optimizers"],
            "averaged": self.averaged.state(),
            "step": module.step,
            "place": list(module.place),
            "tokens": module.tokens,
            "best": self.best,
            "bad_validations": self.bad_validations,
            "last_validation": self.last_validation,
            "seconds": self.elapsed(),
            "window": [float(self.window_loss), self.window_steps],
            "has_units": computes_in(self.config.train.precision),  # here; the next machine may have none
        }
        write_checkpoint(self.directory, state, best)

    def restore(self, module: TrainingModule, state: dict[str, Any]) -> None:
        """The counterpart of `checkpoint`, but for the optimisers, which exist only once training starts."""
        module.model.load_state_dict(state["model"])
        module.step, module.place, module.tokens = state["step"], tuple(state["place"]), state["tokens"]
        self.averaged.restore(state["averaged"])
        self.best, self.bad_validations = state["best"], state["bad_validations"]
        self.last_validation, self.seconds = state["last_validation"], state["seconds"]
        self.window_loss, self.window_steps = torch.tensor(state["window"][0]), state["window"][1]
        self.window_tokens = module.tokens
