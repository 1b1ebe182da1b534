"""Runs between this machine and Modal's Volume: `pull` brings one here, `push` puts one there.

Whatever breaks on the way, the run where it is brought to is as it was before, and the next try fetches (or sends) only
what is missing. Each file is checked: by the SHA-256 of the run's manifest.json, or, where that is older than the file,
by its size and by what the file itself says.

    store.py        the Volume, or a folder        manifest.py    how files must be, and which there are
    receive.py      files that come in parts       volume_runs.py what there is on the Volume
    pulling.py pushing.py                          local_data.py  data files that a run names
"""

from remote.transfer.manifest import write_manifest
from remote.transfer.pulling import pull
from remote.transfer.pushing import push
from remote.transfer.volume_runs import Transferred, delete_remote, remote_runs

__all__ = ["Transferred", "delete_remote", "pull", "push", "remote_runs", "write_manifest"]
