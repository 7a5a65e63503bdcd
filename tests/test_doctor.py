"""`geot2t doctor`: it finds what is broken, and does not break over it."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import geot2t
from geot2t import checkpoint, doctor
from geot2t.cli import main

EXAMINE = "import json; from geot2t.doctor import examine; print(json.dumps(examine()))"


def found(known: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return [f for f in known["findings"] if f["what"] == what]


def elsewhere(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What another process finds, as GDAL and PROJ look at the environment only once."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", EXAMINE], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def failing(name: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the import of one module fail."""
    real = importlib.import_module

    def loaded(wanted: str, *rest: Any) -> Any:
        if wanted == name:
            raise error
        return real(wanted, *rest)

    monkeypatch.setattr(doctor.importlib, "import_module", loaded)


def test_here_nothing_is_broken() -> None:
    known = doctor.examine()
    assert known["ok"], [f for f in known["findings"] if f["status"] == "broken"]
    assert {"geot2t", "python", "gdal", "proj", "rasterio", "torch", "dask", "xarray"} <= set(
        known["versions"]
    )
    assert {"cores", "threads", "cuda", "devices", "memory_free_gb", "disk_free_gb"} <= set(
        known["machine"]
    )
    assert found(known, "weights")[0]["status"] == "ok"
    assert found(known, "cpu")[0]["said"] == "computes"
    json.dumps(known)


def test_the_command_prints_lines_or_json() -> None:
    text = CliRunner().invoke(main, ["doctor"])
    assert text.exit_code == 0
    assert text.stdout.splitlines()[0].startswith(f"geot2t {geot2t.__version__}  python ")
    assert json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)["ok"]


def test_exit_status_is_1_if_something_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = ImportError("numpy.core.multiarray failed: compiled against ABI version 0x1")
    failing("scipy", wheel, monkeypatch)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert result.stderr == "Error: broken: scipy\n"
    assert "cannot be loaded: ImportError: numpy.core.multiarray failed" in result.stdout
    assert "-> it was built for another numpy: pip install --force-reinstall" in result.stdout
    assert "11 of 12 load" in result.stdout  # and the others were looked at


def test_a_library_that_is_missing_or_of_another_version_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(doctor.LIBRARIES, "no-such-library", "no_such_library")
    real = doctor.version
    monkeypatch.setattr(doctor, "version", lambda n: "0.5" if n == "einops" else real(n))
    known = doctor.examine()
    assert found(known, "no-such-library")[0]["status"] == "broken"
    assert found(known, "einops")[0]["status"] == "warning"
    assert "geot2t was made for" in found(known, "einops")[0]["said"]


def test_torchvision_beside_another_torch_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda n: n == "torchvision" or real(n))
    failing("torchvision", RuntimeError("operator torchvision::nms does not exist"), monkeypatch)
    known = doctor.examine()
    assert known["ok"]
    (one,) = found(known, "torchvision")
    assert one["status"] == "warning"
    assert "nms does not exist" in one["said"]


def test_data_of_another_proj_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = elsewhere({"PROJ_DATA": str(tmp_path)}, monkeypatch)
    (proj,) = found(known, "proj")
    assert proj["status"] == "broken"
    assert proj["remedy"] == "unset PROJ_DATA: the data is of another PROJ"
    assert not known["ok"]


def test_a_driver_that_is_switched_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    known = elsewhere({"GDAL_SKIP": "PNG JP2OpenJPEG"}, monkeypatch)
    first, second = found(known, "drivers")
    assert (first["status"], first["said"]) == ("broken", "this GDAL lacks PNG")
    assert (second["status"], second["said"][:12]) == ("warning", "JP2OpenJPEG ")
    assert found(known, "GDAL_SKIP")[0]["status"] == "warning"


def test_altered_weights_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for file in checkpoint.SHIPPED.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    path = tmp_path / f"{checkpoint.DEFAULT}.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    known = doctor.examine()
    assert sorted(f["status"] for f in found(known, "weights")) == ["broken", "ok"]
    path.unlink()
    assert any("is missing" in f["said"] for f in found(doctor.examine(), "weights"))


def test_little_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LITTLE_DISK", 10**18)
    monkeypatch.setattr(doctor, "LITTLE_MEMORY", 10**18)
    known = doctor.examine()
    assert known["ok"]
    assert found(known, "disk")[0]["said"].startswith("only ")
    assert found(known, "memory")[0]["status"] == "warning"


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    failing("geot2t.io.gdal_facts", ImportError("libtiff.so.6: no such file"), monkeypatch)
    known = doctor.examine()
    assert not known["ok"]
    assert "libtiff.so.6" in found(known, "gdal")[0]["said"]
    assert found(known, "weights")  # the rest was looked at all the same
