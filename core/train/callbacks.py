"""What happens between steps: figures, validation, checkpoints, samples, and the wish to stop."""

import os
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch

from core.errors import RunError
from core.files import append_jsonl, write_atomic
from core.run import Run, Status, save_model
from core.train.data_module import Prepared
from core.train.module import TrainingModule, validation_loss
from core.train.wandb_log import WandbLog


class AveragedWeights(L.Callback):
    """An exponential moving average of the weights: smoother than the weights themselves, and usually better."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.shadow: list[torch.Tensor] = []

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.decay and not self.shadow:
            self.shadow = [p.detach().clone() for p in module.parameters()]

    @torch.no_grad()
    def on_train_batch_end(self, trainer, module, *_: Any) -> None:  # type: ignore[no-untyped-def, override]
        if self.decay:
            # Early on a long memory would hold on to the random start.
            decay = min(self.decay, (1 + module.step) / (10 + module.step))
            torch._foreach_lerp_(self.shadow, [p.detach() for p in module.parameters()], 1 - decay)

    @contextmanager
    def applied(self, module: L.LightningModule):  # type: ignore[no-untyped-def]
        """The model with the averaged weights, for as long as the block lasts."""
        if not self.shadow:
            yield
            return
        own = [p.data for p in module.parameters()]
        for parameter, average in zip(module.parameters(), self.shadow):
            parameter.data = average
        try:
            yield
        finally:
            for parameter, data in zip(module.parameters(), own):
                parameter.data = data


class Recorder(L.Callback):
    """Writes the run directory while the model trains. It is the only one that does."""

    def __init__(self, run: Run, prepared: Prepared, averaged: AveragedWeights, say) -> None:  # type: ignore[no-untyped-def]
        self.run, self.prepared, self.averaged, self.say = run, prepared, averaged, say
        self.wandb_log: WandbLog | None = None
        self.directory: Path = run.directory
        self.config = run.config
        self.best = float("inf")
        self.bad_validations = 0
        self.seconds = 0.0  # of training, over all sessions of a resumed run
        self.stopped_by = ""  # why training ended before its last step
        self.window_loss = torch.zeros(())
        self.window_steps, self.window_tokens = 0, 0
        self.last_validation = -1  # the step of it
        self.rate = 0.0
        self.started = 0.0  # time.time() at which this session of training began
        self.val_batches = prepared.val_batches(self.config.train.val_batches)
        self.val_whole = len(self.val_batches) == len(prepared.val_batches())

    # -- Lightning's hooks ---------------------------------------------------------------------------------------

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.clock = self.window_clock = time.monotonic()
        self.status(module, "training")  # type: ignore[arg-type]

    def on_train_batch_end(self, trainer, module: TrainingModule, *_: Any) -> None:  # type: ignore[no-untyped-def, override]
        train, step = self.config.train, module.step
        self.window_loss = self.window_loss + module.last["loss"]
        self.window_steps += 1
        last = step >= train.max_steps
        if step % train.log_every == 0 or last or step == 1:
            self.log_step(module)
        stop = (self.directory / "stop").exists()
        if stop:
            self.stopped_by = "stopped"
        if step % train.val_every == 0 or last or stop:
            self.validate(module)
            if train.patience and self.bad_validations >= train.patience:
                self.stopped_by = self.stopped_by or "early"
                self.say(f"no better validation loss in {self.bad_validations} validations: stopping early")
        if train.sample_every and (step % train.sample_every == 0 or last or stop):
            self.sample(module)
        if train.snapshots and self.is_snapshot(step):
            self.snapshot(module)
        ends = last or bool(self.stopped_by)
        if step % train.checkpoint_every == 0 or ends:
            self.checkpoint(module, "last")
        if ends:
            trainer.should_stop = True

    # -- figures ---------------------------------------------------------------------------------------------------

    def elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.clock

    def log_step(self, module: TrainingModule) -> None:
        now = time.monotonic()
        tokens = module.tokens - self.window_tokens
        rate = tokens / max(now - self.window_clock, 1e-9)
        self.rate = rate if not self.rate else 0.7 * self.rate + 0.3 * rate
        record = {
            "step": module.step,
            "loss": round(float(self.window_loss) / self.window_steps, 6),
            "lr": module.last["lr"],
            "grad_norm": round(float(module.last["grad_norm"]), 6),
            "tokens_per_second": round(rate, 1),
            "tokens": module.tokens,
            "epoch": round(self.epoch(module), 4),
            "seconds": round(self.elapsed(), 2),
        }
        self.record(record)
        self.say(
            f"step {module.step:>6,}/{self.config.train.max_steps:,}  loss {record['loss']:.4f}  "
            f"lr {record['lr']:.2e}  {rate:,.0f} tokens/s"
        )
        self.window_loss, self.window_steps = torch.zeros(()), 0
        self.window_tokens, self.window_clock = module.tokens, now
        self.status(module, "training")

    def epoch(self, module: TrainingModule) -> float:
        epoch, index = module.place
        return epoch + index / max(1, len(self.prepared.train.batches(epoch)) if index else 1)

    def record(self, values: dict[str, Any]) -> None:
        append_jsonl(self.directory / "metrics.jsonl", {**values, "time": round(time.time(), 3)})

    def status(self, module: TrainingModule, message: str) -> None:
        left = self.config.train.max_steps - module.step
        per_step = (self.elapsed() / module.step) if module.step else None
        Status(
            state="stopping" if (self.directory / "stop").exists() else "running",
            step=module.step,
            steps=self.config.train.max_steps,
            tokens_per_second=round(self.rate, 1),
            eta=round(left * per_step, 1) if per_step else None,
            pid=os.getpid(),
            started=self.started,
            message=message,
            wandb_url=self.wandb_log.url if self.wandb_log else "",
        ).write(self.directory)

    # -- validation, samples, files ----------------------------------------------------------------------------------

    def validate(self, module: TrainingModule) -> None:
        if self.last_validation == module.step:
            return
        begin = time.monotonic()
        self.last_validation = module.step
        self.status(module, "validating")
        with self.averaged.applied(module):
            total, tokens = validation_loss(module.model, self.val_batches)
            loss = total / tokens
            better = loss < self.best
            if better:
                self.best, self.bad_validations = loss, 0
                save_model(module.model, self.directory / "model.safetensors")
            else:
                self.bad_validations += 1
        record = {
            "step": module.step,
            "val_loss": round(loss, 6),
            "val_tokens": tokens,
            "seconds": round(self.elapsed(), 2),
        }
        if not self.prepared.is_pairs and self.val_whole:
            record["val_bits_per_byte"] = round(total / 0.6931471805599453 / self.prepared.val_bytes, 6)
        self.record(record)
        if better:
            self.checkpoint(module, "best")
        self.say(f"step {module.step:>6,}  validation loss {loss:.4f} a token" + ("  (best)" if better else ""))
        self.window_clock += time.monotonic() - begin  # tokens/s are those of training

    def sample(self, module: TrainingModule) -> None:
        """What the model writes now, on the same prompts each time."""
        from core.decode import generate

        begin = time.monotonic()
        config = self.config.decode
        if self.prepared.is_pairs:
            pairs = self.prepared.corpus.val[:4]
            prompts = [pair.src for pair in pairs]
            references = [pair.tgt for pair in pairs]
            config = replace(
                config, strategy="greedy", max_new_tokens=min(64, config.max_new_tokens), num_return_sequences=1
            )
        else:
            prompts = list(self.config.train.sample_prompts) or [""]
            references = [""] * len(prompts)
            config = replace(config, num_return_sequences=1)
        self.run.__dict__["model"] = module.model
        module.model.eval()
        with self.averaged.applied(module):
            results = generate(self.run, prompts, config)
        module.model.train()
        samples = [{"prompt": p, "output": r.text, "reference": ref} for p, r, ref in zip(prompts, results, references)]
        append_jsonl(self.directory / "samples.jsonl", {"step": module.step, "samples": samples})
        first = samples[0]
        self.say(f"sample: {first['prompt']!r} -> {first['output'][:160]!r}")
        self.window_clock += time.monotonic() - begin

    def is_snapshot(self, step: int) -> bool:
        """Snapshots are spread over the run, denser at the start, where a model changes most."""
        count, last = self.config.train.snapshots, self.config.train.max_steps
        return step in {max(1, round(last * ((i + 1) / count) ** 2)) for i in range(count)}

    def snapshot(self, module: TrainingModule) -> None:
        (self.directory / "snapshots").mkdir(exist_ok=True)
        with self.averaged.applied(module):
            save_model(module.model, self.directory / "snapshots" / f"step-{module.step:06d}.safetensors", half=True)

    def checkpoint(self, module: TrainingModule, name: str) -> None:
        """All that is needed to go on: tensors and plain values, so that it is read with weights_only."""
        optimizers = module.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        state = {
            "model": module.model.state_dict(),
            "optimizers": [o.state_dict() for o in optimizers],
            "averaged": self.averaged.shadow,
            "step": module.step,
            "place": list(module.place),
            "tokens": module.tokens,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "best": self.best,
            "bad_validations": self.bad_validations,
            "last_validation": self.last_validation,
            "seconds": self.elapsed(),
            "window": [float(self.window_loss), self.window_steps],
        }
        (self.directory / "checkpoints").mkdir(exist_ok=True)
        write_atomic(self.directory / "checkpoints" / f"{name}.ckpt", lambda file: torch.save(state, file))

    def restore(self, module: TrainingModule, state: dict[str, Any]) -> None:
        """The counterpart of `checkpoint`, but for the optimisers, which exist only once training starts."""
        module.model.load_state_dict(state["model"])
        module.step, module.place, module.tokens = state["step"], tuple(state["place"]), state["tokens"]
        self.averaged.shadow = state["averaged"]
        self.best, self.bad_validations = state["best"], state["bad_validations"]
        self.last_validation, self.seconds = state["last_validation"], state["seconds"]
        self.window_loss, self.window_steps = torch.tensor(state["window"][0]), state["window"][1]
        self.window_tokens = module.tokens


def read_checkpoint(directory: Path) -> dict[str, Any] | None:
    """The last checkpoint, or None if there is none yet. Nothing in it can run code."""
    path = directory / "checkpoints" / "last.ckpt"
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(f"The checkpoint {path.name} of {directory.name} is broken ({type(error).__name__}).") from None
