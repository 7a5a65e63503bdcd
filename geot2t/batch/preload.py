"""What a worker process does first."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(_worker: Any) -> None:
    """Leave Ctrl-C to the process that was typed, which ends its workers in good order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
