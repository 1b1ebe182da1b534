"""The app: all its functions, and entrypoints for `modal run`.

    modal deploy remote/app.py
    modal run remote/app.py::train --preset demo --run-name first --gpu L4
    modal run remote/app.py::generate --run shakespeare-gpt --text "ROMEO:"

`llm-scratch ... --on modal` does the same on the deployed app, and follows it from here.
"""

import json
import secrets
from typing import Any

import remote.infer
import remote.prepare
import remote.train
import remote.web
from remote import names
from remote.image import app

__all__ = ["app"]


@app.local_entrypoint()
def train(
    preset: str = "demo", run_name: str = "", gpu: str = names.DEFAULT_GPU, steps: int = 0, set: str = "",
    resume: bool = False,
) -> None:  # fmt: skip
    """Train a preset into runs/RUN_NAME of the Volume. set: section.field=value, several with spaces between them."""
    from core.presets import preset as named
    from remote.prices import parse_gpu, usd_per_hour
    from remote.training.attempt import Order

    _, count = parse_gpu(gpu)
    changes = [*set.split(), *([f"train.max_steps={steps}"] if steps else []), f"train.devices={count}"]
    config = named(preset).with_overrides(changes)
    name = run_name or f"{preset}-{secrets.token_hex(3)}"
    order = Order(
        name, config.to_dict(), secrets.token_hex(8), resume, tuple(changes) if resume else (), gpu, usd_per_hour(gpu)
    ).__dict__  # fmt: skip
    status = remote.train.train_run.with_options(gpu=gpu).remote(order)  # `hours` ends it before Modal's limit would
    if status["state"] == "failed":
        raise SystemExit(status["error"])
    print(f"{name}: {status['state']} at step {status['step']:,}; `llm-scratch pull {name}` brings it to this machine")


@app.local_entrypoint()
def generate(text: str, run: str = "shakespeare-gpt", strategy: str = "sample", seed: int = 0) -> None:
    """Continue (or translate) a text with a bundled run, or with one of the Volume."""
    decode = json.dumps({"strategy": strategy, "seed": seed})
    prompts: Any = remote.infer.Prompts
    answer = prompts(run=run).write.remote(text, decode)
    if "error" in answer:
        raise SystemExit(answer["error"])
    print(answer["text"])
