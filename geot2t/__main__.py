"""`python -m geot2t` and `torchrun -m geot2t`: the command line."""

from __future__ import annotations

from geot2t.cli import main

main()
