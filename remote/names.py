"""What both sides call things: the page and the command line here, the functions in the cloud. Imports no modal."""

import os
from pathlib import Path, PurePosixPath

APP = "llm-scratch"
VOLUME = "llm-scratch"  # holds runs/NAME/..., data/HASH/FILE and hf/ (downloads of the hub)
FEED = "llm-scratch-feed"  # a Dict: what a run that trains has last written, and what is wished of it

# Functions and classes of the app.
TRAIN = "train_run"
TRAIN_CLUSTER = "train_cluster"
PREPARE = "prepare_data"
PROMPTS = "Prompts"  # single prompts, batched
WRITER = "Writer"  # shards of files, streams, evaluation
WEB = "web"

# Where the Volume is mounted in a container. (The variable is for tests, which have no mount.)
STORE = Path(os.environ.get("LLM_SCRATCH_STORE") or "/store")
RUNS = STORE / "runs"

# Secrets that an app can have but need not. A container evaluates the decorators again and must come to the same
# number of secrets, so which ones there are is written into the image, in this variable.
SECRETS = {"wandb": "wandb-secret", "signin": "llm-scratch-signin"}
SECRETS_FLAG = "LLM_SCRATCH_SECRETS"  # such as "wandb,signin"
VERSION_FLAG = "LLM_SCRATCH_VERSION"  # of the project; in the image, as its source is not installed there
NODES_FLAG = "LLM_SCRATCH_NODES"  # hosts that train together; 0 or 1: there is no such function

SIGNIN_VARIABLE = "LLM_SCRATCH_USERS"  # of the secret: name:password, one pair a line

DEFAULT_GPU = "L4"
MAX_HOURS = 24  # that Modal lets a function run


def secret_names() -> list[str]:
    """The optional secrets that this app has: keys of SECRETS."""
    asked = [name.strip() for name in os.environ.get(SECRETS_FLAG, "").split(",")]
    return [name for name in SECRETS if name in asked]


def cluster_nodes() -> int:
    """Hosts that the clustered training function takes; 0 if there is no such function."""
    text = os.environ.get(NODES_FLAG, "")
    return int(text) if text.isdigit() and int(text) > 1 else 0


def volume_path(*parts: str) -> str:
    """A path on the Volume, as its own methods want it."""
    return str(PurePosixPath(*parts))
