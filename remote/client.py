"""What the page and the command line use of this room. Importing it imports no modal; the first question does.

Whatever goes wrong is a CloudError: one sentence, within ten seconds.
"""

from remote.asking_data import prepare
from remote.backend import GRACE, MOST_HOURS, ModalBackend
from remote.calls import Access, access, link_of
from remote.deploying import deploy
from remote.follow import ensure_followed
from remote.link import SECONDS, CloudError, NotDeployed
from remote.names import DEFAULT_GPU
from remote.prices import DATE, GPUS, SOURCE, Estimate, estimate, parse_gpu, usd_per_hour
from remote.transfer import Transferred, delete_remote, pull, push, remote_runs

__all__ = [
    "DATE",
    "DEFAULT_GPU",
    "GPUS",
    "GRACE",
    "MOST_HOURS",
    "SECONDS",
    "SOURCE",
    "Access",
    "CloudError",
    "Estimate",
    "ModalBackend",
    "NotDeployed",
    "Transferred",
    "access",
    "delete_remote",
    "deploy",
    "ensure_followed",
    "estimate",
    "link_of",
    "parse_gpu",
    "prepare",
    "pull",
    "push",
    "remote_runs",
    "usd_per_hour",
]
