"""The stand-in for Modal's server does what it says: Modal's library, command line and containers work with it."""

import asyncio
import importlib.util
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import modal
import pytest
from grpclib import Status
from modal.exception import AuthError, FunctionTimeoutError, NotFoundError, RemoteError, ResourceExhaustedError

from tests.remote.modal_stand_in import ModalStandIn

SAMPLE = Path(__file__).parent / "sample_app" / "sample.py"


@pytest.fixture(scope="module")
def sample():
    """The module of the sample app, imported as `modal deploy FILE` does."""
    spec = importlib.util.spec_from_file_location("sample", SAMPLE)
    sys.modules["sample"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["sample"]


@pytest.fixture(scope="module")
def deployed(sample, tmp_path_factory):
    """A server with the sample app, for all tests that leave it as it was: containers stay warm."""
    with ModalStandIn(tmp_path_factory.mktemp("modal")) as server, server.in_this_process():
        sample.app.deploy()
        yield server
        assert not server.errors, server.errors[0]


@pytest.fixture
def server(deployed):
    """The server with the sample app, without what a test has switched on."""
    yield deployed
    deployed.recover()


def function(name):
    return modal.Function.from_name("sample", name)


def modal_command(server, *words, **more):
    command = [sys.executable, "-m", "modal", *words]
    environment = os.environ | server.environment() | more
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


# Signing in, and failures


def test_a_wrong_token_is_refused(modal_server, monkeypatch):
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-wrong")
    with pytest.raises(AuthError):
        modal.Client.from_env().hello()


def test_each_server_is_spoken_to_with_a_client_of_its_own(tmp_path, sample):
    for name in ("one", "two"):
        with ModalStandIn(tmp_path / name) as server, server.in_this_process():
            modal.Dict.from_name("names", create_if_missing=True)["name"] = name
            sample.app.deploy()
            assert server.asked["DictUpdate"] == 1
            assert list(server.function("sample", "add").secret_ids) == []


def test_methods_fail_and_hang_until_they_recover(server):
    server.fail("FunctionMap", Status.RESOURCE_EXHAUSTED, "quota of the workspace")
    with pytest.raises(ResourceExhaustedError, match="quota of the workspace"):
        function("add").spawn(1, 2)
    server.recover()
    server.fail("FunctionMap", Status.NOT_FOUND, times=1)
    with pytest.raises(NotFoundError):
        function("add").spawn(1, 2)
    server.hang("FunctionMap")

    async def spawn():
        return await asyncio.wait_for(function("add").spawn.aio(1, 2), 0.3)

    with pytest.raises(TimeoutError):
        asyncio.run(spawn())
    server.recover()
    assert function("add").remote(1, 2) == 3


def test_what_is_not_there_is_not_found(server):
    for missing in (
        modal.Function.from_name("other", "double").hydrate,
        modal.Function.from_name("sample", "other").hydrate,
        modal.Cls.from_name("sample", "Other").hydrate,
        modal.Volume.from_name("other").hydrate,
        modal.Dict.from_name("other").hydrate,
        modal.Secret.from_name("other").hydrate,
        modal.FunctionCall.from_id("fc-other").get,
    ):
        with pytest.raises(NotFoundError):
            missing()


# Volumes, dicts and queues


@pytest.mark.parametrize("version", [1, 2])
def test_volumes_are_directories(modal_server, tmp_path, version):
    volume = modal.Volume.from_name("store", create_if_missing=True, version=version)
    large = os.urandom(9_000_000) + bytes(9_000_000)  # several blocks, the last ones zeros
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(large), "/large.bin")
        batch.put_directory(tmp_path / "run", "/runs/first")
    directory = modal_server.volume("store")
    assert (directory / "large.bin").read_bytes() == large
    assert [entry.path for entry in volume.listdir("/", recursive=True)] == [
        "large.bin",
        "runs",
        "runs/first",
        "runs/first/config.json",
    ]
    assert b"".join(volume.read_file("large.bin")) == large
    with pytest.raises(FileExistsError), volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"new"), "/runs/first/config.json")
    with volume.batch_upload(force=True) as batch:
        batch.put_file(io.BytesIO(b"new"), "/runs/first/config.json")
    volume.copy_files(["runs/first/config.json"], "copy.json")
    volume.remove_file("large.bin")
    (directory / "empty").touch()
    assert sorted(entry.path for entry in volume.listdir("/")) == ["copy.json", "empty", "runs"]
    assert b"".join(volume.read_file("copy.json")) == b"new" and b"".join(volume.read_file("empty")) == b""
    with pytest.raises(FileNotFoundError):
        list(volume.read_file("large.bin"))
    with pytest.raises(NotFoundError):
        volume.listdir("nowhere")


def test_a_file_that_is_replaced_while_it_is_read_is_the_old_one(modal_server):
    volume = modal.Volume.from_name("store", create_if_missing=True)
    path = modal_server.volume("store") / "file"
    path.write_bytes(b"a" * 20_000_000)
    blocks = volume.read_file("file")
    first = next(blocks)
    (path.parent / "new").write_bytes(b"b" * 20_000_000)
    (path.parent / "new").rename(path)
    assert first + b"".join(blocks) == b"a" * 20_000_000


def test_downloads_break(modal_server):
    volume = modal.Volume.from_name("store", create_if_missing=True)
    data = os.urandom(10_000_000)
    (modal_server.volume("store") / "file").write_bytes(data)
    modal_server.break_download_after(1000)
    assert b"".join(volume.read_file("file")) == data  # Modal's library asks again
    modal_server.break_download_after(9_000_000, times=None)
    with pytest.raises(Exception, match="payload is not completed"):
        list(volume.read_file("file"))
    modal_server.recover()
    assert b"".join(volume.read_file("file")) == data


def test_dicts_and_queues(modal_server):
    values = modal.Dict.from_name("values", create_if_missing=True)
    values["run"] = {"step": 1}
    assert values["run"] == {"step": 1} and values.get("other") is None and "run" in values
    assert not values.put("run", 2, skip_if_exists=True) and values.len() == 1
    assert list(modal.Dict.from_name("values").items()) == [("run", {"step": 1})]
    assert values.pop("run") == {"step": 1}
    with pytest.raises(KeyError):
        values["run"]
    queue = modal.Queue.from_name("queue", create_if_missing=True)
    queue.put_many([1, 2, 3])
    queue.put("x", partition="other")
    assert queue.get() == 1 and list(queue.iterate()) == [2, 3] and queue.len(total=True) == 3
    assert queue.get_many(5) == [2, 3] and queue.get(block=False) is None


# Apps


def test_deployed_from_the_command_line_and_run(modal_server, new_interpreters):
    modal_server.secrets = {"wandb-secret": {"WANDB_API_KEY": "key"}}
    deployed = modal_command(modal_server, "deploy", str(SAMPLE))
    assert deployed.returncode == 0 and "App deployed" in deployed.stdout, deployed.stdout + deployed.stderr
    assert function("double").remote(5) == 10
    (before,) = modal_server.containers.all
    assert modal_command(modal_server, "deploy", str(SAMPLE)).returncode == 0
    modal_server.wait_until(lambda: not before.alive)  # it ran what was deployed before
    logs = modal_command(modal_server, "app", "logs", "sample").stdout
    assert "double 5" in logs
    definition = modal_server.function("sample", "Writer.*")
    assert (definition.resources.gpu_config.gpu_type, definition.concurrency_limit) == ("T4", 1)
    commands = modal_server.objects.image_commands(definition.image_id)
    assert any("pip install numpy" in command for command in commands)
    run = modal_command(modal_server, "run", f"{SAMPLE}::main", "--number", "21")
    assert run.returncode == 0 and "result 42" in run.stdout and "double 21" in run.stdout, run.stdout + run.stderr
    refused = modal_command(modal_server, "deploy", str(SAMPLE), MODAL_TOKEN_SECRET="as-wrong")
    assert refused.returncode != 0 and "Token" in refused.stdout + refused.stderr


def test_an_app_that_runs_ends_with_its_context(modal_server, sample):
    with sample.app.run():
        assert sample.double.remote(4) == 8
        call = sample.count.spawn(100, 0.5)
        container = modal_server.wait_running(call.object_id)
    modal_server.wait_until(lambda: not container.alive, 10)
    with pytest.raises(NotFoundError):
        function("double").remote(1)


def test_secrets_and_variables_of_the_image(modal_server):
    app = modal.App("with-secrets")
    modal_server.secrets = {"wandb-secret": {"WANDB_API_KEY": "key", "OTHER": "x"}}
    secrets = [modal.Secret.from_name("wandb-secret"), modal.Secret.from_dict({"MORE": "y"})]

    def show():
        import os

        return {name: os.environ.get(name) for name in ("WANDB_API_KEY", "MORE", "FLAG", "MODAL_TOKEN_ID")}

    image = modal.Image.debian_slim().env({"FLAG": "a b"})
    show = app.function(secrets=secrets, serialized=True, image=image)(show)
    with app.run():
        assert show.remote() == {"WANDB_API_KEY": "key", "MORE": "y", "FLAG": "a b", "MODAL_TOKEN_ID": None}


# Calls


def test_spawned_polled_and_found_again_by_its_id(server):
    call = function("waits").spawn(0.5)
    with pytest.raises(TimeoutError):
        call.get(timeout=0)
    assert modal.FunctionCall.from_id(call.object_id).get(timeout=20) == "slept"
    assert modal.FunctionCall.from_id(call.object_id).get(timeout=0) == "slept"  # as often as one asks


def test_what_a_container_sees(server, sample):
    seen = function("surroundings").remote()
    assert seen.pop("pid") != os.getpid()
    assert seen == {
        "local": False,
        "call": list(server.calls.calls)[-1],
        "core": False,  # only what was mounted can be imported
        "SAMPLE_FLAG": "on",
        "SAMPLE_HOME": "/store/home",
        "MODAL_IS_REMOTE": "1",
        "MODAL_TOKEN_ID": None,
        "LLM_SCRATCH_STORE": None,
        "WANDB_API_KEY": None,
    }
    with pytest.raises(sample.SampleError, match="-1 is negative"):
        function("double").remote(-1)
    assert "double -1" in server.logs


def test_map(server):
    results = list(function("double").map([3, -1, 4], return_exceptions=True))
    assert (results[0], str(results[1]), results[2]) == (6, "-1 is negative", 8)
    assert sorted(function("double").map(range(120), order_outputs=False)) == [2 * n for n in range(120)]
    assert list(function("add").starmap([(1, 2), (3, 4)])) == [3, 7]
    assert function("calls_another").remote(1) == 3


def test_asynchronous_calls(server):
    async def use():
        waits = function("waits")
        assert await waits.remote.aio(0.01) == "slept"
        assert [x async for x in function("double").map.aio([1, 2])] == [2, 4]
        assert [x async for x in function("letters").remote_gen.aio("abc")] == ["a", "b", "c"]

    asyncio.run(use())


def test_generators(server, sample):
    letters = function("letters")
    assert list(letters.remote_gen("hello")) == list("hello")
    got = []
    with pytest.raises(sample.SampleError):
        for letter in letters.remote_gen("no!x"):
            got.append(letter)
    assert got == list("no!")[: len(got)]  # the error may be quicker than the letters


def test_large_arguments_and_results_go_through_blobs(server):
    before = server.asked["BlobCreate"]
    data = os.urandom(3_000_000)
    assert function("size").remote(data) == data + b"!"
    assert function("size").spawn(data[:20_000]).get(timeout=20) == data[:20_000] + b"!"
    assert server.asked["BlobCreate"] == before + 4


def test_a_batched_class_with_a_parameter(server):
    batched = modal.Cls.from_name("sample", "Batched")
    results = list(batched(factor=3).multiply.map(range(8)))
    assert [value for value, _ in results] == [3 * n for n in range(8)]
    assert max(size for _, size in results) == 4
    assert batched().multiply.remote(7) == (7, 1)


def test_concurrent_inputs_share_a_container_and_methods_yield(server):
    writer = modal.Cls.from_name("sample", "Writer")()
    began = time.monotonic()
    assert len(set(writer.hold.map([1.0] * 4))) == 1
    assert time.monotonic() - began < 10
    assert list(writer.stream.remote_gen("to be or not")) == ["to", "be", "or", "not"]


def test_options_of_one_call(server):
    large = function("add").with_options(gpu="H100:2", timeout=77, max_containers=3)
    call = large.spawn(1, 1)
    definition = server.call(call.object_id).definition
    assert (definition.gpus, definition.function.timeout_secs, definition.max_containers) == (["H100:2"], 77, 3)
    assert call.get(timeout=20) == 2
    assert server.function("sample", "add").timeout_secs == 300


def test_retries_are_made_for_those_who_wait_and_for_those_who_do_not(server, sample):
    fails = function("fails_first")
    assert fails.remote("waited", 2) == 3
    call = fails.spawn("spawned", 2)
    assert call.get(timeout=20) == 3 and server.call(call.object_id).attempts == 2
    assert list(fails.starmap([("m1", 1), ("m2", 0)])) == [2, 1]
    with pytest.raises(sample.SampleError, match="try 3"):
        fails.spawn("too often", 5).get(timeout=20)


def test_time_limits_crashes_and_classes_that_cannot_begin(server, sample):
    with pytest.raises(FunctionTimeoutError):
        function("too_long").remote()
    with pytest.raises(RemoteError, match="exit code 3"):
        function("dies").remote()
    with pytest.raises(sample.SampleError, match="cannot begin"):
        modal.Cls.from_name("sample", "Broken")().work.remote()


def test_a_container_works_on_the_volume(server):
    commits = server.commits.count("sample-store")
    store = function("write").remote("runs/x/note.txt", "hello")
    assert store == str(server.volume("sample-store"))
    assert b"".join(modal.Volume.from_name("sample-store").read_file("runs/x/note.txt")) == b"hello"
    assert server.commits.count("sample-store") == commits + 1
    with pytest.raises(RuntimeError, match="open files"):
        function("reload_with_open_file").remote()


def test_an_interrupted_call_begins_again_with_the_same_input(server):
    (server.volume("sample-store") / "count.txt").unlink(missing_ok=True)
    progress = modal.Dict.from_name("sample-progress")
    call = function("count").spawn(30, 0.1)
    first = server.wait_running(call.object_id)
    steps = server.asked["DictUpdate"]
    server.wait_until(lambda: server.asked["DictUpdate"] > steps + 3)
    server.preempt(call.object_id)
    result = call.get(timeout=40)
    assert 0 < result["began"] < 30 and result["pid"] != first.pid
    assert progress["count"] == 30 and server.call(call.object_id).attempts == 0


def test_cancelled_calls_end(server):
    # Not a function that calls Modal: its library may swallow the interruption of such a call.
    call = function("sleeps").spawn(50)
    container = server.wait_running(call.object_id)
    call.cancel()
    with pytest.raises(RemoteError):
        call.get(timeout=20)
    assert container.alive  # it takes other inputs
    call = function("count").spawn(10_000, 0.1)
    container = server.wait_running(call.object_id)
    call.cancel(terminate_containers=True)
    with pytest.raises(RemoteError):
        call.get(timeout=20)
    end = time.monotonic() + 20
    while container.alive and time.monotonic() < end:
        time.sleep(0.05)
    assert not container.alive


def test_containers_that_are_scaled_down_run_their_exit_methods(server):
    assert modal.Cls.from_name("sample", "Batched")(factor=2).multiply.remote(1) == (2, 1)
    server.scale_down()
    assert (server.volume("sample-store") / "exit.txt").read_text() == "exit"
    assert not any(container.alive for container in server.containers.all)
