"""The notebook that trains runs from top to bottom; its figures are drawn, its files written."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest


@pytest.fixture
def cells(root: Path) -> list[str]:
    """The code of the notebook."""
    book = json.loads((root / "notebooks" / "04_train_on_your_tiles.ipynb").read_text())
    return ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code"]


def test_training_on_tiles_runs_as_shown(
    cells: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, "04_train_on_your_tiles.ipynb", "exec"), names)  # noqa: S102  our own
    assert len(plt.get_fignums()) == 2
    plt.close("all")
    written = {path.name for path in tmp_path.iterdir()}
    assert {"mine.safetensors", "filled.tif", "judge.safetensors", "score.tif"} <= written
