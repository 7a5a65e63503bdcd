"""The Python examples of the documentation run as they stand, one after another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
SKIPPED = "<!-- not run: "


def examples(page: Path) -> str:
    """The Python blocks of a page as one program, each on the line where it stands."""
    text = page.read_text("utf-8")
    lines = [""] * text.count("\n")
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        before = text[: block.start(1)].splitlines()
        if before[-2].startswith(SKIPPED):
            continue
        code = block[1].splitlines()
        lines[len(before) : len(before) + len(code)] = code
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["xarray.md"])
def test_examples_run(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = examples(DOCS / name)
    assert program.count("geot2t.") > 5
    exec(compile(program, DOCS / name, "exec"), {"__name__": name})  # noqa: S102  our own


def test_a_wrong_example_is_noticed(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text\n\n```python\na = 1\n```\n\n```python\nassert a == 2\n```\n")
    assert examples(page) == "\n\n\na = 1\n\n\n\nassert a == 2\n"
    with pytest.raises(AssertionError):
        exec(examples(page), {})  # noqa: S102  our own
