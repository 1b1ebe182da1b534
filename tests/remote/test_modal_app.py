"""The app as Modal gets it: what each function asks for, with and without the optional secrets, and that containers,
which evaluate all of it again, come to the same."""

import json
import os
import subprocess
import sys

import modal
import pytest
from modal_proto import api_pb2

from core.files import read_json
from remote import names
from remote.image import ROOT, python_version
from tests.remote.deployed import deploy, deployed
from tests.remote.modal_stand_in import ModalStandIn

FUNCTIONS = {"train_run", "prepare_data", "Prompts.*", "Writer.*", "web"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Without any secret."""
    with deployed(tmp_path_factory.mktemp("app")) as found:
        yield found


@pytest.fixture(scope="module")
def with_secrets(tmp_path_factory):
    secrets = {"wandb-secret": {"WANDB_API_KEY": "k"}, "llm-scratch-signin": {"LLM_SCRATCH_USERS": "me:word"}}
    with ModalStandIn(tmp_path_factory.mktemp("secrets") / "modal", secrets) as found:
        deploy(found, LLM_SCRATCH_SECRETS="wandb,signin")
        yield found


def definition(server, name) -> api_pb2.Function:
    return server.function(names.APP, name)


def test_training_asks_for_a_gpu_the_volume_and_to_be_tried_again(server):
    found = definition(server, "train_run")
    assert found.resources.gpu_config.gpu_type == names.DEFAULT_GPU and found.resources.gpu_config.count == 1
    assert found.resources.milli_cpu == 4000 and found.resources.memory_mb == 16 * 1024
    assert found.timeout_secs == 24 * 3600 and found.retry_policy.retries == 4
    assert [mount.mount_path for mount in found.volume_mounts] == ["/store"]
    assert found.single_use_containers and not found.secret_ids


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_has_a_time_limit_and_the_image(name, server):
    found, trains = definition(server, name), definition(server, "train_run")
    assert 0 < found.timeout_secs <= 24 * 3600 and found.image_id == trains.image_id
    assert [mount.mount_path for mount in found.volume_mounts] == ["/store"]


def test_inference_reads_a_run_once_and_its_snapshot_is_kept(server):
    for name in ("Prompts.*", "Writer.*"):
        found = definition(server, name)
        assert found.resources.gpu_config.gpu_type == names.DEFAULT_GPU and found.checkpointing_enabled
    assert definition(server, "Prompts.*").batch_max_size == 64 and not definition(server, "Writer.*").batch_max_size


def test_the_page_has_one_container_and_no_gpu(server):
    found = definition(server, "web")
    assert found.resources.gpu_config.count == 0 and not found.resources.gpu_config.gpu_type
    assert found.autoscaler_settings.max_containers == 1 and found.autoscaler_settings.min_containers == 0
    assert found.webhook_config.type == api_pb2.WEBHOOK_TYPE_ASGI_APP and found.max_concurrent_inputs > 10


def test_secrets_are_there_when_they_are_asked_for_and_only_then(server, with_secrets):
    assert not any(definition(server, name).secret_ids for name in FUNCTIONS)
    assert len(definition(with_secrets, "train_run").secret_ids) == 1
    assert len(definition(with_secrets, "web").secret_ids) == 1
    assert not definition(with_secrets, "Prompts.*").secret_ids


def test_the_image_is_what_was_tested(server):
    commands = "\n".join(server.objects.image_commands(definition(server, "train_run").image_id))
    assert f"FROM python:{python_version()}" in commands and python_version() == "3.11"
    assert commands.count("--constraint /constraints.txt") == 2 and "gradio>=" in commands
    order = [commands.index(word) for word in ("FROM python", "COPY", "install torch", "gradio>=", names.SECRETS_FLAG)]
    assert order == sorted(order)
    # The source is laid over the image when a container starts: a change of it builds nothing.
    assert "playground" not in commands.replace("llm-from-scratch-playground", "")


@pytest.mark.parametrize("secrets", ["", "wandb,signin"])
def test_a_container_comes_to_the_same_number_of_dependencies(secrets, server, with_secrets):
    """It would refuse to start otherwise. The bundled models and the page's files are in it too."""
    used = with_secrets if secrets else server
    with used.in_this_process():
        answer = modal.Cls.from_name(names.APP, "Prompts")(run="shakespeare-gpt").write.remote(
            "ROMEO:", json.dumps({"max_new_tokens": 3})
        )
        assert "error" not in answer, answer
        order = {"name": "none", "config": {"model": {"family": "none"}}, "launch": "a"}
        status = modal.Function.from_name(names.APP, "train_run").remote(order)
        assert status["state"] == "failed" and "family" in status["error"]


def test_modal_run_trains(server, tmp_path):
    """`modal run remote/app.py::train`, as those who know Modal would call it."""
    words = ["--preset", "demo", "--run-name", "by-hand", "--steps", "6", "--gpu", "T4:2"]
    words += ["--set", "model.d_model=32 model.n_layers=1 data.max_examples=300"]
    command = [sys.executable, "-m", "modal", "run", "remote/app.py::train", *words]
    environment = os.environ | server.environment()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "by-hand: done at step 6" in done.stdout
    kept = names.RUNS / "by-hand"
    assert (kept / "model.safetensors").exists() and read_json(kept / "config.json")["train"]["devices"] == 2
    assert "H100" not in done.stdout and read_json(kept / "status.json")["machine"] == "T4:2"


def test_several_hosts_are_a_function_of_their_own(tmp_path):
    with ModalStandIn(tmp_path / "modal") as server:
        deploy(server, LLM_SCRATCH_NODES="2")
        found = definition(server, "train_cluster")
        assert found._experimental_group_size == 2 and found.resources.gpu_config.gpu_type == names.DEFAULT_GPU
