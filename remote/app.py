"""The app: all functions, as `modal deploy remote/app.py` takes them, and entrypoints for `modal run`.

modal deploy remote/app.py
modal run remote/app.py::train --preset demo --run-name first --gpu L4
"""

from remote.image import app

__all__ = ["app"]
