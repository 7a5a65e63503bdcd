"""The command line as a user meets it: what it prints, where, and with which exit status."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result

from geot2t import filling
from geot2t.cli import main
from geot2t.fill import Prediction

COMMANDS = sorted(main.commands)


class Mean:
    """The mean of all other dates, with fixed scale: quick, and no weights needed."""

    methods = ("network", "prior")

    def __call__(
        self, pixels: Any, valid: Any, days: Any, target: int, names: Sequence[str], **_: Any
    ) -> dict[str, Prediction]:
        seen = valid[:, :, None].astype("float32")
        seen[:, target] = 0
        mean = (pixels * seen).sum(1) / np.maximum(seen.sum(1), 1)
        used = np.where(seen.sum((1, 2)) > 0, 5, np.inf).astype("float32")
        return {name: Prediction(mean, np.full_like(mean, 0.01), used) for name in names}


@pytest.fixture(autouse=True)
def _quick_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_load", lambda *_: (Mean(), {"name": "mean"}))


@pytest.fixture
def folder(sample: Path, tmp_path: Path) -> Path:
    """Four dates of the sample: one partly cloudy, and a crop of nothing else."""
    for date in ("2022-06-05", "2022-06-10", "2022-06-12", "2022-06-17"):
        for file in sample.glob(f"{date}*.tif"):
            shutil.copy(file, tmp_path)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def state(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_inpaint_prints_the_path_of_the_result_and_nothing_else(folder: Path) -> None:
    scene = folder / "2022-06-10.tif"
    result = run("inpaint", scene, "--series", folder)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{folder}/2022-06-10_filled.tif\n"
    with rasterio.open(scene) as before, rasterio.open(result.stdout.strip()) as after:
        assert after.profile["dtype"] == before.profile["dtype"]
        assert not (after.read() == after.nodata).any()
    for kind in ("_quality.tif", "_error.tif", ".json"):
        assert (folder / f"2022-06-10_filled{kind}").is_file()


def test_inpaint_takes_all_its_options(folder: Path) -> None:
    scene, out = folder / "2022-06-10.tif", folder / "out.tif"
    out.touch()
    result = run(
        "inpaint", scene, "-o", out, "--overwrite", "--series", folder / "2022-06-1*.tif",
        "--series", folder / "2022-06-05.tif", "--cloud-mask", folder / "2022-06-10_mask.tif",
        "--clouds", "qa", "--date", "20220610", "--max-error", "2000", "--max-distance", "20",
        "--keep-nodata", "--no-error", "--format", "cog", "--co", "COMPRESS=ZSTD", "--co",
        "LEVEL=1", "--device", "cpu", "--window", "128", "--overlap", "32", "--batch", "2",
        "--seed", "4", "--sharp", "--samples", "2", "--report", "--method", "prior", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    item = json.loads(result.stdout)
    options = item["properties"]["geot2t:options"]
    assert options == {
        "clouds": "qa", "date": "2022-06-10", "max_error": 2000, "max_distance": 20,
        "keep_nodata": True, "error": False, "format": "COG",
        "creation_options": {"COMPRESS": "ZSTD", "LEVEL": "1"}, "window": 128, "overlap": 32,
        "batch": 2, "adapt": 0, "sharp": True, "samples": 2, "seed": 4, "method": "prior",
        "bands": [],
    }  # fmt: skip
    assert item["properties"]["geot2t:dates_used"][0] == "2022-06-05"
    assert not (folder / "out_error.tif").exists()
    for kind in ("_sample_01.tif", "_sample_02.tif", "_spread.tif", ".html"):
        assert (folder / f"out{kind}").is_file()
    with rasterio.open(out) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.compression.name == "zstd"


def test_a_scene_without_a_gap_is_copied_and_that_is_said(folder: Path) -> None:
    with rasterio.open(folder / "2022-06-12.tif", "r+") as file:
        file.write(np.maximum(file.read(), 1))
    result = run("inpaint", folder / "2022-06-12.tif", "--clouds", "none")
    assert result.exit_code == 0
    assert "Note: no gap was found: the scene was copied\n" in result.stderr
    quiet = run("inpaint", folder / "2022-06-12.tif", "--clouds", "none", "-q", "--overwrite")
    assert quiet.stderr == ""


def elsewhere(folder: Path, **change: Any) -> Path:
    """A copy of a date with another place, number of bands, or without a date."""
    path = folder / "other" / change.pop("name", "2022-06-12.tif")
    path.parent.mkdir()
    with rasterio.open(folder / "2022-06-12.tif") as file:
        profile = {**file.profile, **change}
        values = file.read(list(range(1, profile["count"] + 1)))
    with rasterio.open(path, "w", **profile) as file:
        file.write(values)
    return path


FAR = rasterio.Affine(10, 0, 3e5, 0, -10, 1e6)


def text_file(folder: Path) -> Path:
    path = folder / "text.tif"
    path.write_text("not a raster")
    return path


def taken(folder: Path) -> Path:
    path = folder / "out" / "taken.tif"
    path.parent.mkdir()
    path.touch()
    return path


BAD_INPUT: dict[str, tuple[str, Callable[[Path], dict[str, object]]]] = {
    "no file": ("does not exist", lambda f: {"scene": f / "none.tif"}),
    "not a raster": ("is not a GeoTIFF", lambda f: {"scene": text_file(f)}),
    "a directory": ("is a directory", lambda f: {"scene": f}),
    "series elsewhere": ("2022-06-12.tif", lambda f: {"--series": elsewhere(f, transform=FAR)}),
    "other band count": ("band", lambda f: {"--series": elsewhere(f, count=2)}),
    "no date": ("date of", lambda f: {"--series": elsewhere(f, name="undated.tif")}),
    "no series": ("nowhere", lambda f: {"--series": f / "nowhere"}),
    "existing output": ("exists; pass --overwrite to replace it", lambda f: {"-o": taken(f)}),
    # Not even root may write there.
    "unwritable folder": ("/proc", lambda _: {"-o": Path("/proc/out.tif")}),
    "missing folder": ("does not exist", lambda f: {"-o": f / "none" / "out.tif"}),
    "output is input": ("is an input", lambda f: {"-o": f / "2022-06-10.tif"}),
    "bad mask": ("does not exist", lambda f: {"--cloud-mask": f / "none.tif"}),
    "unknown detector": ("no cloud detector", lambda _: {"--clouds": "eyes"}),
    "lossy": ("could change observed pixels", lambda _: {"--co": "COMPRESS=JPEG"}),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_leaves_nothing_behind(folder: Path, case: str) -> None:
    said, change = BAD_INPUT[case]
    given = {"scene": folder / "2022-06-10.tif", "--series": folder, **change(folder)}
    scene = given.pop("scene")
    before = state(folder)
    result = run("inpaint", scene, *itertools.chain(*given.items()))
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert said in result.stderr
    assert state(folder) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-error", "0"], ["--max-distance", "-1"], ["--format", "PNG"], ["--co", "TILED"],
        ["--date", "yesterday"], ["--window", "4"], ["--no-such-option"],
    ],
)  # fmt: skip
def test_wrong_usage_exits_2(folder: Path, arguments: list[str]) -> None:
    result = run("inpaint", folder / "2022-06-10.tif", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: ")


def test_an_interrupt_exits_130_and_leaves_nothing(folder: Path, monkeypatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Mean, "__call__", interrupt)
    before = state(folder)
    result = run("inpaint", folder / "2022-06-10.tif", "--series", folder)
    assert result.exit_code == 130
    assert "Interrupted; nothing half-written was left." in result.stderr
    assert state(folder) == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_leaves_nothing(
    folder: Path, number: signal.Signals, status: int
) -> None:
    code = (
        "import sys, time\n"
        "from geot2t import filling\n"
        "from geot2t.cli import main\n"
        "def wait(*_, **__):\n"
        "    print('computing', flush=True)\n"
        "    time.sleep(30)\n"
        "filling.Lazy.__call__ = wait\n"
        "main(sys.argv[1:])\n"
    )
    before = state(folder)
    command = [sys.executable, "-c", code, "inpaint", str(folder / "2022-06-10.tif")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"computing\n"
        begun = time.monotonic()
        child.send_signal(number)
        assert child.wait(20) == status
        assert time.monotonic() - begun < 10
        assert child.stderr is not None
        assert b"Traceback" not in child.stderr.read()
    assert state(folder) == before


def test_verify_finds_what_was_changed(folder: Path) -> None:
    out = run("inpaint", folder / "2022-06-10.tif", "--series", folder).stdout.strip()
    result = run("verify", out)
    assert result.exit_code == 0
    assert result.stdout.count("ok ") == 4
    damaged = folder / "2022-06-10_filled_error.tif"
    data = bytearray(damaged.read_bytes())
    data[-9] ^= 1
    damaged.write_bytes(data)
    result = run("verify", out)
    assert result.exit_code == 1
    assert f"FAILED  {damaged}: its checksum differs" in result.stdout
    assert result.stderr == "Error: 1 of 4 files are not as geot2t wrote them\n"
    listed = json.loads(run("verify", out, "--json").stdout)
    assert [entry["ok"] for entry in listed].count(False) == 1


def test_info_shows_a_raster_and_a_folder(folder: Path) -> None:
    result = run("info", folder / "2022-06-10.tif")
    assert result.exit_code == 0
    assert "256 x 256, uint16, 10 m pixels" in result.stdout
    assert "2022-06-10" in result.stdout
    assert "B08" in result.stdout
    result = run("info", folder)
    assert result.stdout.startswith(f"{folder}: 4 scenes\n")
    assert len(json.loads(run("info", folder, "--json").stdout)["scenes"]) == 4
    missing = run("info", folder / "none.tif")
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)


def test_the_demo_fills_the_sample_and_can_be_run_again(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    result = run("demo", "-o", folder)
    assert result.exit_code == 0, result.output
    path, gap, check, *table = result.stdout.splitlines()
    assert path == f"{folder}/2022-06-10_filled.tif"
    assert gap.startswith("gap fraction ")
    assert check.startswith("self-check: ")
    assert table[0].split()[:4] == ["band", "network", "prior", "used"]
    assert len(table) == 1 + 4
    assert run("demo", "-o", folder).exit_code == 0
    (folder / "2022-06-12.tif").write_text("mine")
    refused = run("demo", "-o", folder)
    assert refused.exit_code == 1
    assert "is not the sample's" in refused.stderr
    assert (folder / "2022-06-12.tif").read_text() == "mine"


def test_train_hands_its_options_on(tmp_path: Path, monkeypatch) -> None:
    given: dict[str, Any] = {}

    def note(tiles: Path, output: Path, **rest: Any) -> Path:
        given.update(rest, tiles=tiles)
        return output

    monkeypatch.setattr("geot2t.train.train", note)
    result = run(
        "train", "--tiles", tmp_path, "-o", "m.safetensors", "--steps", "7", "--batch", "2",
        "--seed", "5", "--init", "t2t-gan", "--resume", "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout == "m.safetensors\n"
    assert (given["config"].steps, given["config"].batch, given["config"].seed) == (7, 2, 5)
    assert (given["init"], given["resume"], given["overwrite"]) == ("t2t-gan", True, False)
    run("train", "--tiles", tmp_path, "-o", "m.safetensors")
    assert given["init"] is None


def test_defaults_of_training_are_those_that_the_help_states() -> None:
    from geot2t.learner import TrainConfig

    shown = run("train", "--help").stdout
    assert f"Steps of training. [default: {TrainConfig().steps}]" in " ".join(shown.split())
    assert f"Windows per step. [default: {TrainConfig().batch}]" in " ".join(shown.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples_that_parse(command: str) -> None:
    shown = run(command, "--help")
    assert shown.exit_code == 0
    examples = [
        line.split() for line in shown.stdout.splitlines() if line.startswith("    geot2t ")
    ]
    assert examples, "no Examples block"
    assert "Examples" in shown.stdout
    for _, name, *arguments in examples:
        assert name == command
        words = itertools.takewhile(lambda word: not word.startswith(">"), arguments)
        main.commands[name].make_context(name, [word.strip("'") for word in words])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_does(command: str) -> None:
    for parameter in main.commands[command].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_code_for_the_shell(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_GEOT2T_COMPLETE" in result.stdout


def test_version() -> None:
    assert run("--version").stdout.startswith("geot2t, version ")
