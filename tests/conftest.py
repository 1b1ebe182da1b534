"""For all tests."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes share the cores: threads of one would only wait for those of another. Before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
