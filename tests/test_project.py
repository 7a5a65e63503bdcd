"""The project's own promises: one list of dependencies, two commands, clean notebooks."""

from __future__ import annotations

import json
import re
import stat
from configparser import ConfigParser

import pytest
import yaml

# Same project, other name: conda-forge (left) and the Python package index (right).
CONDA_NAMES = {"pytorch": "torch"}
NOT_IN_SETUP = {"python", "pip"}
# conda-forge has no extras, so what dask[array,distributed] brings is named there.
BROUGHT_BY_EXTRAS = {"distributed"}


def requirements(lines: str) -> dict[str, str]:
    """Name -> version range of each line, extras dropped and names in lower case."""
    found = {}
    for line in filter(None, lines.splitlines()):
        name, version = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?(.*)", line).groups()
        found[name.lower()] = version
    return found


@pytest.fixture(scope="module")
def setup(root):
    parser = ConfigParser()
    parser.read(root / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def conda(root):
    listed = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    found = requirements("\n".join(listed))
    return {CONDA_NAMES.get(name, name): version for name, version in found.items()}


def test_environment_yml_and_setup_cfg_ask_for_the_same_packages(setup, conda):
    wanted = requirements(setup["options"]["install_requires"])
    for extra in ("test", "nb", "plot", "spatial", "hpc"):
        wanted |= requirements(setup["options.extras_require"][extra])
    assert {k: v for k, v in conda.items() if k not in NOT_IN_SETUP | BROUGHT_BY_EXTRAS} == wanted


def test_environment_yml_allows_the_same_pythons(setup, conda):
    floor = setup["options"]["python_requires"]
    assert conda["python"].split(",")[0] == floor
    named = re.findall(r"Python :: 3\.(\d+)", setup["metadata"]["classifiers"])
    assert f"<3.{max(map(int, named)) + 1}" in conda["python"]


def test_nothing_asks_for_torchvision(setup, conda):
    everything = requirements(setup["options"]["install_requires"])
    for lines in setup["options.extras_require"].values():
        everything |= requirements(lines)
    assert "torchvision" not in everything | conda


def test_readme_names_the_command_that_ci_runs(root):
    script = root / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    (command,) = re.findall(r"^exec (.+)$", script.read_text(), re.MULTILINE)
    shown = re.findall(r"^make \w+", (root / "README.md").read_text(), re.MULTILINE)
    assert command in shown
    assert "make demo" in shown


def test_the_changelog_has_this_version(root):
    import geot2t

    assert f"## [{geot2t.__version__}]" in (root / "CHANGELOG.md").read_text()


def test_links_between_the_pages_lead_somewhere(root):
    pages = [root / "README.md", root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken


def notebooks(folder):
    return sorted(p for p in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def test_notebooks_are_stored_without_outputs(root):
    found = notebooks(root / "notebooks")
    assert found
    for path in found:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), f"{path.name} holds outputs: strip them"
            assert cell.get("execution_count") is None, f"{path.name} was saved after a run"


def test_no_large_or_private_file_is_in_the_package(root):
    package = root / "geot2t"
    size = {p: p.stat().st_size for p in package.rglob("*") if p.is_file()}
    shipped = {p: n for p, n in size.items() if "__pycache__" not in p.parts}
    assert sum(shipped.values()) < 25e6
    assert not [p for p in shipped if p.suffix in {".pt", ".pth", ".pkl", ".npz~"}]
    assert not [p for p in shipped if p.is_symlink()]
