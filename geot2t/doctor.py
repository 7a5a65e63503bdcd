"""What geot2t runs on, and what is known to go wrong there: `geot2t doctor`.

Nothing here may fail because something is broken, as that is what it is to find out: every
library is loaded by name, one at a time, and whatever it raises is a finding.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from geot2t import __version__

OK, WARNING, BROKEN = "ok", "warning", "broken"

LIBRARIES = {
    "numpy": "numpy", "scipy": "scipy", "torch": "torch", "einops": "einops",
    "safetensors": "safetensors", "rasterio": "rasterio", "xarray": "xarray", "dask": "dask",
    "distributed": "distributed", "click": "click", "jinja2": "jinja2", "tqdm": "tqdm",
}  # fmt: skip
"""What must be there: the package, and what is imported of it."""

EXTRAS = {
    "cloud": ("ukis-csmask",),
    "stac": ("odc-stac", "pystac-client"),
    "xr": ("rioxarray",),
    "zarr": ("zarr",),
    "spatial": ("scikit-image",),
    "plot": ("matplotlib",),
}
"""What may be there, by the name to install it by."""

LITTLE_DISK, LITTLE_MEMORY = 2 * 10**9, 2 * 10**9
"""Bytes under which a warning is given."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    """In a word or two."""

    status: str
    """``ok``, ``warning`` or ``broken``."""

    said: str
    """What was found."""

    remedy: str | None = None
    """What to do about it."""


def examine() -> dict[str, Any]:
    """Look at everything.

    Returns
    -------
    dict
        For JSON: ``ok`` (nothing is broken), ``versions`` by name, ``machine`` and ``findings``,
        each with ``what``, ``status``, ``said`` and ``remedy``.
    """
    findings = [
        finding
        for look in (_python, _libraries, _gdal, _conflicts, _torch, _weights, _extras, _room)
        for finding in _guarded(look)
    ]
    return {
        "ok": all(f.status != BROKEN for f in findings),
        "versions": versions(),
        "machine": machine(),
        "findings": [asdict(f) for f in findings],
    }


def lines(known: Mapping[str, Any]) -> Iterator[str]:
    """What `examine` found, for people."""
    yield "  ".join(f"{name} {number}" for name, number in known["versions"].items())
    yield "  ".join(f"{name} {value}" for name, value in known["machine"].items())
    for finding in known["findings"]:
        yield f"{finding['status']:8} {finding['what']}: {finding['said']}"
        if finding["remedy"]:
            yield f"{'':8} -> {finding['remedy']}"


def versions() -> dict[str, str]:
    """Versions of what matters, of those that are there."""
    found = {"geot2t": __version__, "python": platform.python_version()}
    with suppress(Exception):  # whatever is broken is a finding of its own
        found |= _facts().versions()
    for name in ("rasterio", "numpy", "torch", "dask", "xarray"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The system, its cores, threads, memory and free disk in gigabytes, and devices."""
    found: dict[str, Any] = {"system": f"{platform.system()} {platform.machine()}"}
    found["cores"] = _cores()
    torch = _loaded("torch")
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        cuda = torch.cuda.is_available()
        found["cuda"] = torch.version.cuda or "not in this build of torch"
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        found["devices"] = ", ".join(["cpu", *names] if cuda else ["cpu"])
    psutil = _loaded("psutil")
    if psutil is not None:
        memory = psutil.virtual_memory()
        found["memory_gb"] = round(memory.total / 1e9, 1)
        found["memory_free_gb"] = round(memory.available / 1e9, 1)
    found["disk_free_gb"] = round(shutil.disk_usage(Path.cwd()).free / 1e9, 1)
    return found


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _guarded(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """All that ``look`` finds, and that it failed if it does."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001  a doctor who faints is of no use
        yield Finding(look.__name__.strip("_"), BROKEN, _one_line(error))


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _loaded(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001  also what a broken wheel raises
        return None


def _facts() -> Any:
    return importlib.import_module("geot2t.io.gdal_facts")


def _python() -> Iterator[Finding]:
    ok = sys.version_info >= (3, 11)
    yield Finding(
        "python",
        OK if ok else BROKEN,
        f"{platform.python_version()} at {sys.executable}",
        None if ok else "geot2t needs Python 3.11 or later",
    )


def _libraries() -> Iterator[Finding]:
    """Each is there, in a version that goes with geot2t, and can be loaded."""
    wanted = _wanted()
    good = []
    for package, module in LIBRARIES.items():
        try:
            there = version(package)
        except PackageNotFoundError:
            yield Finding(package, BROKEN, "is not installed", f"pip install {package}")
            continue
        allowed = wanted.get(package)
        if allowed is not None and not allowed.contains(there, prereleases=True):
            yield Finding(
                package,
                WARNING,
                f"is {there}, and geot2t was made for {allowed}",
                f"pip install '{package}{allowed}'",
            )
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001  a broken wheel may raise anything
            said = _one_line(error)
            abi = "numpy" in said.lower() and ("abi" in said.lower() or "compiled" in said.lower())
            why = "it was built for another numpy" if abi else "its wheel is broken"
            yield Finding(
                package,
                BROKEN,
                f"{there} cannot be loaded: {said}",
                f"{why}: pip install --force-reinstall --no-deps {package}",
            )
        else:
            good.append(package)
    yield Finding("libraries", OK, f"{len(good)} of {len(LIBRARIES)} load")


def _wanted() -> dict[str, Any]:
    """The versions that geot2t asks for, by package; none where it is not installed."""
    try:
        from packaging.requirements import Requirement

        asked = [Requirement(text) for text in requires("geot2t") or ()]
    except (ImportError, PackageNotFoundError):
        return {}
    return {r.name: r.specifier for r in asked if r.marker is None}


def _gdal() -> Iterator[Finding]:
    facts = _facts()
    have = facts.drivers()
    missing = [name for name in facts.NEEDED if name not in have]
    if missing:
        yield Finding(
            "drivers",
            BROKEN,
            f"this GDAL lacks {', '.join(missing)}",
            "unset GDAL_SKIP, or install rasterio from its wheel",
        )
    else:
        yield Finding("drivers", OK, ", ".join(facts.NEEDED))
    if less := [name for name in facts.USEFUL if name not in have]:
        yield Finding("drivers", WARNING, f"{', '.join(less)} is missing: no .jp2 can be read")
    facts.check_write()
    yield Finding("geotiff", OK, "a compressed GeoTIFF reads back as it was written")
    named = [f"{k}={os.environ[k]}" for k in ("PROJ_DATA", "PROJ_LIB") if k in os.environ]
    try:
        facts.check_proj()
    except Exception as error:  # noqa: BLE001  PROJ raises what it likes
        yield Finding(
            "proj",
            BROKEN,
            _one_line(error),
            f"unset {', '.join(n.split('=')[0] for n in named)}: the data is of another PROJ"
            if named
            else "reinstall rasterio",
        )
    else:
        said = "coordinate systems are found"
        yield Finding("proj", OK, f"{said}, with {', '.join(named)}" if named else said)


def _conflicts() -> Iterator[Finding]:
    """What is known not to go together."""
    ours = _facts().versions()["gdal"]
    if find_spec("osgeo") is not None:
        gdal = _loaded("osgeo.gdal")
        theirs = None if gdal is None else gdal.__version__
        yield Finding(
            "two GDALs",
            OK if theirs == ours else WARNING,
            f"osgeo brings {theirs or 'one that does not load'}, rasterio {ours}",
            None if theirs == ours else "do not import osgeo in a program that imports geot2t",
        )
    for name in ("GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_SKIP", "LD_PRELOAD", "LD_LIBRARY_PATH"):
        if os.environ.get(name):
            yield Finding(
                name,
                WARNING,
                f"is set ({os.environ[name]}) and may lead to files of another GDAL",
                f"unset {name} if rasters cannot be opened",
            )
    if find_spec("torchvision") is not None:
        yield _torchvision()
    try:
        distributed = version("geot2t")
    except PackageNotFoundError:
        return
    if distributed != __version__:
        yield Finding(
            "geot2t",
            WARNING,
            f"{distributed} is installed, and {__version__} is what runs",
            f"see what lies in {Path(__file__).parent}",
        )


def _torchvision() -> Finding:
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # noqa: BLE001  it raises RuntimeError beside another torch
        return Finding(
            "torchvision",
            WARNING,
            f"does not load beside this torch: {_one_line(error)}",
            "geot2t does not use it, but packages that do will fail: pip uninstall torchvision",
        )
    return Finding("torchvision", OK, f"{version('torchvision')} loads beside this torch")


def _torch() -> Iterator[Finding]:
    torch = importlib.import_module("torch")
    build, cuda = torch.version.cuda, torch.cuda.is_available()
    if build and not cuda:
        yield Finding(
            "cuda",
            WARNING,
            f"torch was built for CUDA {build}, and no device is found",
            "look at nvidia-smi: the driver may be missing or too old; until then cpu is used",
        )
    for device in ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]:
        try:
            ones = torch.ones(64, 64, device=device)
            right = float((ones @ ones).sum()) == 64**3
        except Exception as error:  # noqa: BLE001  drivers raise what they like
            yield Finding(device, BROKEN, _one_line(error), f"use another --device than {device}")
            continue
        yield Finding(device, OK if right else BROKEN, "computes" if right else "computes wrongly")
    threads = torch.get_num_threads()
    if threads > _cores():
        yield Finding(
            "threads",
            WARNING,
            f"torch uses {threads} threads, and there are {_cores()} cores",
            f"set OMP_NUM_THREADS={_cores()}",
        )


def _weights() -> Iterator[Finding]:
    checkpoint = importlib.import_module("geot2t.checkpoint")
    for path in sorted(checkpoint.SHIPPED.glob("*.safetensors")):
        try:
            model = checkpoint.load_model(path)
        except Exception as error:  # noqa: BLE001  an altered file may raise anything
            yield Finding("weights", BROKEN, _one_line(error), "reinstall geot2t")
            continue
        yield Finding("weights", OK, f"{model.name}, sha256 {model.sha256[:12]}...")
    if not (checkpoint.SHIPPED / f"{checkpoint.DEFAULT}.safetensors").exists():
        yield Finding("weights", BROKEN, f"{checkpoint.DEFAULT} is missing", "reinstall geot2t")


def _extras() -> Iterator[Finding]:
    missing = []
    for extra, packages in EXTRAS.items():
        try:
            for package in packages:
                version(package)
        except PackageNotFoundError:
            missing.append(extra)
    there = [extra for extra in EXTRAS if extra not in missing]
    said = f"with {', '.join(there) or 'none'}"
    if missing:
        said += f"; without {', '.join(missing)} (pip install 'geot2t[{','.join(missing)}]')"
    yield Finding("extras", OK, said)


def _room() -> Iterator[Finding]:
    """Disk where outputs and temporary files go, and memory."""
    for what, folder in (("disk", Path.cwd()), ("disk", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        if free < LITTLE_DISK:
            yield Finding(what, WARNING, f"only {free / 1e9:.1f} GB are free in {folder}")
    if not os.access(Path.cwd(), os.W_OK):
        yield Finding("disk", WARNING, f"{Path.cwd()} cannot be written to", "write with -o")
    psutil = _loaded("psutil")
    if psutil is not None and psutil.virtual_memory().available < LITTLE_MEMORY:
        free = psutil.virtual_memory().available
        yield Finding("memory", WARNING, f"only {free / 1e9:.1f} GB are free", "use --window 128")
