"""Imports point one way, heavy libraries stay in their corner, and `geot2t --help` is quick."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import geot2t

PACKAGE = Path(geot2t.__file__).parent

# From the ground up. A module may import from its own row and from those above it in this list.
LAYERS = [
    {"errors", "grid"},
    {
        "distributed",
        "sensors",
        "metrics",
        "t2t",
        "losses",
        "prior",
        "intervals",
        "views",
        "flaws",
        "ground",
    },
    {"bodies"},
    {"generator", "critic", "clouds", "stac"},
    {
        "fill",
        "missing",
        "arrays",
        "draws",
        "pipeline",
        "stream",
        "shortlist",
        "preview",
        "survey",
        "io",
        "checkpoint",
        "blind",
        "hidden",
        "trials",
        "calibrate",
        "sharpen",
        "baselines",
    },
    {"model", "methods", "realism", "refine", "drawing"},
    {
        "places",
        "tiles",
        "scenery",
        "lessons",
        "resume",
        "request",
        "said",
        "xr",
        "cloudmask",
        "report",
    },
    {
        "learner",
        "train",
        "teach",
        "paint",
        "adapt",
        "filling",
        "jobs",
        "seasons",
        "score",
        "generate",
    },
    {"about", "viewing", "doctor", "demo", "evaluation", "difference", "api", "batch"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: i for i, row in enumerate(LAYERS) for name in row}

HOMES = {
    "rasterio": {"io"},
    "dask": {"xr", "batch"},
    "distributed": {"batch"},
    "click": {"commands", "cli"},
    "pystac": set(),
    "pystac_client": {"stac"},
    "torch": {
        "prior", "t2t", "bodies", "generator", "critic", "losses", "checkpoint", "model", "tiles",
        "resume", "learner", "train", "adapt", "distributed", "views", "flaws", "lessons",
        "realism", "teach", "score", "refine", "scenery", "paint",
    },
    "torchvision": set(),
}  # fmt: skip

# GDAL's fill takes an array and gives one: no file is opened, so it may leave the corner of files.
ARRAYS_ONLY = {"baselines/space.py": "rasterio.fill.fillnodata"}


def module_of(path: Path) -> str:
    """First name below the package: geot2t/io/sink.py -> io."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, in functions too; types only are left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


SOURCES = {p: imported(p) for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"}
IDS = [str(p.relative_to(PACKAGE)) for p in SOURCES]


def inside(names: set[str]) -> set[str]:
    """Modules of this package among the names."""
    parts = [name.split(".") for name in names]
    return {p[1] for p in parts if p[0] == "geot2t" and p[1] in FLOOR}


@pytest.mark.parametrize(("path", "names"), SOURCES.items(), ids=IDS)
def test_imports_point_down(path, names):
    module = module_of(path)
    assert module in FLOOR, f"give {module} a place in LAYERS"
    upward = {other for other in inside(names) if FLOOR[other] > FLOOR[module]}
    assert not upward


def test_no_two_modules_import_each_other():
    graph: dict[str, set[str]] = {}
    for path, names in SOURCES.items():
        module = module_of(path)
        graph.setdefault(module, set()).update(inside(names) - {module})
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize(("path", "names"), SOURCES.items(), ids=IDS)
def test_heavy_libraries_stay_in_their_corner(path, names):
    allowed = ARRAYS_ONLY.get(path.relative_to(PACKAGE).as_posix())
    used = {name.split(".")[0] for name in names if name != allowed}
    module = module_of(path)
    assert not {lib for lib, homes in HOMES.items() if lib in used and module not in homes}


def test_the_checks_can_fail(tmp_path):
    page = tmp_path / "page.py"
    page.write_text("def f():\n    from geot2t.cli import main\n    import rasterio.io\n")
    assert inside(imported(page)) == {"cli"}
    assert "rasterio.io" in imported(page)


@pytest.mark.parametrize("name", geot2t.__all__)
def test_public_names_exist(name):
    assert getattr(geot2t, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'inpant'"):
        geot2t.inpant  # noqa: B018


def undocumented(path: Path) -> list[str]:
    """Public functions, classes and methods of a file without a docstring."""
    found = []

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if node.name.startswith("_") or _overload(node):
                    continue
                if not ast.get_docstring(node):
                    found.append(prefix + node.name)
                if isinstance(node, ast.ClassDef):
                    look(node.body, f"{prefix}{node.name}.")

    def _overload(node: ast.stmt) -> bool:
        return any("overload" in ast.dump(d) for d in getattr(node, "decorator_list", []))

    tree = ast.parse(path.read_text())
    if not ast.get_docstring(tree):
        found.append("(module)")
    look(tree.body, "")
    return found


# What nn.Module and Function require by name needs no sentence of its own.
OBVIOUS = {"forward", "backward"}


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_everything_public_has_a_docstring(path):
    assert not [n for n in undocumented(path) if n.split(".")[-1] not in OBVIOUS]


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], check=True, capture_output=True, text=True)


def test_help_does_not_load_what_it_does_not_need():
    code = (
        "import sys, geot2t.cli\n"
        "try: geot2t.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('loaded:', *({'torch', 'dask', 'xarray', 'scipy'} & set(sys.modules)))"
    )
    assert python("-c", code).stdout.splitlines()[-1].split() == ["loaded:"]


def test_help_takes_less_than_half_a_second():
    command = ["-c", "import sys; from geot2t.cli import main; sys.exit(main(['--help']))"]
    best = float("inf")
    for _ in range(8):
        begun = time.perf_counter()
        python(*command)
        best = min(best, time.perf_counter() - begun)
        if best < 0.5:
            break
    assert best < 0.5, f"the best of 8 runs took {best:.2f} s"


@pytest.mark.parametrize(("chosen", "used"), [(None, "passive"), ("active", "active")])
def test_threads_that_wait_let_go_of_their_core_unless_told_otherwise(chosen, used):
    env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    env |= {"OMP_WAIT_POLICY": chosen} if chosen else {}
    code = "import geot2t, os; print(os.environ['OMP_WAIT_POLICY'])"
    said = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == used
