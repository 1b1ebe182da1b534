"""Files that the page offers for download: each in a folder of its own, forgotten after an hour."""

import shutil
import tempfile
import time
from pathlib import Path

KEEP = 3600.0  # seconds


def export_folder() -> Path:
    """A new folder for a download. OSError if there can be none."""
    parent = Path(tempfile.gettempdir()) / "llm-scratch-exports"
    parent.mkdir(mode=0o700, exist_ok=True)
    for folder in parent.iterdir():
        if time.time() - folder.stat().st_mtime > KEEP:
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=parent))
