"""What the page and the command line use of this room. Importing it imports no modal; the first question does.

Whatever goes wrong is a CloudError: one sentence, within ten seconds.
"""

from remote.calls import access, link_of
from remote.decoding.asking import WAITING, columns, mapper, stream, write, written
from remote.decoding.evaluating import evaluating as evaluating_there
from remote.decoding.on_modal import There, there
from remote.decoding.parts import check_files, parts_folder
from remote.decoding.shards import Progress as FileProgress
from remote.decoding.shards import write_file
from remote.deploying import deploy
from remote.names import DEFAULT_GPU
from remote.prices import DATE, GPUS, SOURCE, Estimate, estimate, parse_gpu, usd_per_hour
from remote.training.backend import GRACE, MOST_HOURS, ModalBackend
from remote.training.follow import ensure_followed
from remote.training.preparing import prepare
from remote.transfer import Transferred, delete_remote, pull, push, remote_runs

__all__ = [
    "DATE",
    "DEFAULT_GPU",
    "GPUS",
    "GRACE",
    "MOST_HOURS",
    "SOURCE",
    "Estimate",
    "FileProgress",
    "ModalBackend",
    "There",
    "Transferred",
    "WAITING",
    "access",
    "check_files",
    "columns",
    "delete_remote",
    "deploy",
    "ensure_followed",
    "estimate",
    "evaluating_there",
    "link_of",
    "mapper",
    "parse_gpu",
    "parts_folder",
    "prepare",
    "pull",
    "push",
    "remote_runs",
    "stream",
    "there",
    "usd_per_hour",
    "write",
    "write_file",
    "written",
]
