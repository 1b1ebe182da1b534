"""A small app, for the tests of the stand-in for Modal's server: a bit of all that functions can be."""

import os
import time
from pathlib import Path

import modal

STORE = Path(os.environ.get("LLM_SCRATCH_STORE") or "/store")

image = modal.Image.debian_slim().pip_install("numpy").env({"SAMPLE_FLAG": "on", "SAMPLE_HOME": "/store/home"})
app = modal.App("sample", image=image)
volume = modal.Volume.from_name("sample-store", create_if_missing=True)
progress = modal.Dict.from_name("sample-progress", create_if_missing=True)


class SampleError(ValueError):
    pass


@app.function()
def double(number: int) -> int:
    print(f"double {number}")
    if number < 0:
        raise SampleError(f"{number} is negative")
    return 2 * number


@app.function()
def add(a: int, b: int) -> int:
    return a + b


@app.function()
def surroundings() -> dict:
    try:
        import core  # was not mounted
    except ImportError:
        core = None
    names = ("SAMPLE_FLAG", "SAMPLE_HOME", "MODAL_IS_REMOTE", "MODAL_TOKEN_ID", "LLM_SCRATCH_STORE", "WANDB_API_KEY")
    return {
        "local": modal.is_local(),
        "call": modal.current_function_call_id(),
        "core": core is not None,
        "pid": os.getpid(),
        **{name: os.environ.get(name) for name in names},
    }


@app.function(volumes={"/store": volume})
def write(name: str, text: str) -> str:
    (STORE / name).parent.mkdir(parents=True, exist_ok=True)
    (STORE / name).write_text(text)
    volume.commit()
    return str(STORE)


@app.function(volumes={"/store": volume})
def reload_with_open_file() -> None:
    with open(STORE / "open.txt", "w"):
        volume.reload()


@app.function(volumes={"/store": volume}, timeout=60)
def count(to: int, wait: float) -> dict:
    """Counts on the Volume, and goes on from there if it is begun again."""
    path = STORE / "count.txt"
    began = int(path.read_text()) if path.exists() else 0
    for number in range(began + 1, to + 1):
        path.write_text(str(number))
        progress["count"] = number
        time.sleep(wait)
    return {"began": began, "ended": to, "pid": os.getpid()}


@app.function(timeout=60)
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


@app.function(retries=modal.Retries(max_retries=2, initial_delay=0.0), volumes={"/store": volume})
def fails_first(name: str, times: int) -> int:
    path = STORE / name
    tries = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(tries))
    if tries <= times:
        raise SampleError(f"try {tries}")
    return tries


@app.function(timeout=2)
def too_long() -> None:
    time.sleep(30)


@app.function()
def dies() -> None:
    os._exit(3)


@app.function()
def letters(word: str):
    for letter in word:
        yield letter
        if letter == "!":
            raise SampleError("no shouting")


@app.function()
async def waits(seconds: float) -> str:
    import asyncio

    await asyncio.sleep(seconds)
    return "slept"


@app.function()
def size(data: bytes) -> bytes:
    return data + b"!"


@app.function()
def calls_another(number: int) -> int:
    return double.remote(number) + 1


@app.cls(volumes={"/store": volume})
class Batched:
    factor: int = modal.parameter(default=1)

    @modal.enter()
    def begin(self) -> None:
        self.entered = os.getpid()

    @modal.batched(max_batch_size=4, wait_ms=500)
    def multiply(self, numbers: list[int]) -> list[tuple[int, int]]:
        assert self.entered == os.getpid()
        return [(number * self.factor, len(numbers)) for number in numbers]

    @modal.exit()
    def end(self) -> None:
        (STORE / "exit.txt").write_text("exit")


@app.cls(gpu="T4", max_containers=1)
@modal.concurrent(max_inputs=4)
class Writer:
    @modal.method()
    def stream(self, text: str):
        yield from text.split()

    @modal.method()
    def hold(self, seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()


@app.cls()
class Broken:
    @modal.enter()
    def begin(self) -> None:
        raise SampleError("cannot begin")

    @modal.method()
    def work(self) -> None: ...


@app.local_entrypoint()
def main(number: int = 2) -> None:
    print("result", double.remote(number))
