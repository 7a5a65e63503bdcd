"""`geot2t mask`: what it writes is what `inpaint --cloud-mask` needs to fill the same pixels."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result

from geot2t import cloudmask
from geot2t.cli import main
from geot2t.cloudmask import cloud_mask
from geot2t.errors import InputError, RasterReadError
from geot2t.io.names import scenes_in, sidecars


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def scene(tmp_path: Path, sample: Path) -> Path:
    """The cloudy date of the sample, with its quality rasters."""
    for file in sample.glob("2022-06-10*.tif"):
        shutil.copy(file, tmp_path)
    return tmp_path / "2022-06-10.tif"


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def write_scene(path: Path, values: np.ndarray, **profile: object) -> Path:
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype,
        crs="EPSG:32632", transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5e6), **profile,
    ) as file:  # fmt: skip
        file.write(values)
    return path


def test_the_round_trip_fills_the_same_pixels(scene: Path) -> None:
    """One date: also the pixels that lack one band only, which the sample has."""
    first, second = scene.with_name("first.tif"), scene.with_name("second.tif")
    found = cloud_mask(scene)
    assert found.partly > 0
    assert run("inpaint", scene, "-o", first, "--method", "fillnodata").exit_code == 0
    assert run(
        "inpaint", scene, "-o", second, "--method", "fillnodata", "--clouds", "none",
        "--cloud-mask", found.path,
    ).exit_code == 0  # fmt: skip
    for name in ("", "_quality", "_error"):
        one, two = (pixels(p.with_name(f"{p.stem}{name}.tif")) for p in (first, second))
        np.testing.assert_array_equal(one, two)
    assert (pixels(first.with_name("first_quality.tif"))[0] >= 2).mean() > 0.2


def test_the_grid_is_that_of_the_scene_and_nothing_is_nodata(scene: Path) -> None:
    out = cloud_mask(scene).path
    with rasterio.open(scene) as one, rasterio.open(out) as two:
        assert (one.crs, one.transform, one.shape) == (two.crs, two.transform, two.shape)
        assert (two.count, two.dtypes, two.nodata) == (1, ("uint8",), None)
        assert two.descriptions == ("not observed",)
        assert two.tags(1)["CLASS_2"] == "no data"


def test_it_is_neither_a_scene_nor_used_unasked(scene: Path) -> None:
    before = sidecars(scene)
    out = cloud_mask(scene).path
    assert out.name == "2022-06-10_cloud_mask.tif"
    assert scenes_in(scene.parent) == [scene]
    assert sidecars(scene) == before


def test_cloud_no_data_and_a_missing_band_are_told_apart(tmp_path: Path) -> None:
    values = np.full((2, 4, 4), 5, "uint16")
    values[:, 0, 0] = 0  # no data
    values[1, 1, 1] = 0  # one band is missing
    values[:, 3, 3] = 0  # no data under a cloud
    clouds = np.zeros((1, 4, 4), "uint8")
    clouds[0, 2:, 2:] = 7
    scene = write_scene(tmp_path / "a.tif", values, nodata=0)
    write_scene(tmp_path / "clouds.tif", clouds)
    found = cloud_mask(scene, cloud_mask=tmp_path / "clouds.tif", clouds="none")
    assert pixels(found.path)[0].tolist() == [[2, 0, 0, 0], [0] * 4, [0, 0, 1, 1], [0, 0, 1, 1]]
    assert (found.hidden, found.no_data, found.partly) == (4 / 16, 1 / 16, 1 / 16)
    assert found.sources == {
        "no data": {"hidden": 0, "no_data": 3 / 16},
        "mask clouds.tif": {"hidden": 4 / 16, "no_data": 0},
    }
    kept = cloud_mask(
        scene, tmp_path / "kept.tif", cloud_mask=tmp_path / "clouds.tif", clouds="none",
        keep_nodata=True,
    )  # fmt: skip
    assert pixels(kept.path).max() == 1


def test_json_gives_the_shares_and_stdout_nothing_else(scene: Path) -> None:
    said = json.loads(run("mask", scene, "--json", "-q").stdout)
    assert said["hidden"] == pytest.approx((pixels(Path(said["path"])) == 1).mean())
    assert set(said["sources"]) == {
        "no data", "SCL 2022-06-10_SCL.tif", "mask 2022-06-10_mask.tif",
    }  # fmt: skip


def test_what_is_there_is_refused_and_inputs_are_never_replaced(scene: Path) -> None:
    assert run("mask", scene).exit_code == 0
    again = run("mask", scene)
    assert again.exit_code == 1
    assert again.stderr.strip().endswith("pass --overwrite to replace it")
    assert run("mask", scene, "--overwrite").exit_code == 0
    with pytest.raises(InputError, match="is an input"):
        cloud_mask(scene, scene, overwrite=True)
    with pytest.raises(InputError, match="is an input"):
        cloud_mask(scene, scene.with_name("2022-06-10_mask.tif"), overwrite=True)


def test_a_failure_leaves_nothing(scene: Path) -> None:
    data = scene.read_bytes()
    scene.write_bytes(data[: len(data) // 2])  # cut off
    before = sorted(scene.parent.iterdir())
    result = run("mask", scene)
    assert result.exit_code == 1
    assert result.stderr.count("Error:") == 1
    assert sorted(scene.parent.iterdir()) == before


def test_a_huge_sparse_scene_takes_no_longer_than_its_blocks(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=20_000, width=20_000, dtype="uint16", nodata=0,
        tiled=True, blockxsize=512, blockysize=512, sparse_ok=True, compress="deflate",
    ) as file:  # fmt: skip
        file.write(np.ones((1, 512, 512), "uint16"), window=((512, 1024), (512, 1024)))
    found = cloud_mask(path, clouds="none")
    assert found.no_data == pytest.approx(1 - (512 / 20_000) ** 2)


def test_a_cut_off_file_is_not_taken_for_a_sparse_one(tmp_path: Path) -> None:
    """Neither stores blocks, but of this one nobody knows what they held."""
    path = tmp_path / "cut.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=100_000, width=100_000, dtype="uint8",
        tiled=True, sparse_ok=True, bigtiff="YES", crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5e6),
    ):  # fmt: skip
        pass
    assert run("info", path).exit_code == 0
    path.write_bytes(path.read_bytes()[:400])
    for command in ("info", "mask"):
        result = run(command, path)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "cut.tif cannot be read" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["cut.tif"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits")
@pytest.mark.parametrize("command", [["mask"], ["inpaint", "--method", "linear", "--samples", "2"]])
def test_a_full_disk_leaves_nothing(tmp_path: Path, command: list[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (2, 400, 400)).astype("uint16")
    scene = write_scene(tmp_path / "noise.tif", noise, nodata=0)
    code = (
        "import resource, sys; from geot2t.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)); main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command, scene], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    # libtiff has a word of its own on stderr, which nobody can keep from it.
    said = [line for line in done.stderr.splitlines() if not line.startswith(("_tiff", "Note"))]
    assert len(said) == 1
    assert said[0].startswith("Error: cannot write")
    assert [p.name for p in tmp_path.iterdir()] == ["noise.tif"]


def test_a_scene_that_vanishes_is_one_line(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cloudmask.open_maps

    def gone(*arguments: Any, **options: Any) -> Any:
        scene.unlink()
        return real(*arguments, **options)

    monkeypatch.setattr(cloudmask, "open_maps", gone)
    with pytest.raises(RasterReadError, match=r"2022-06-10\.tif"):
        cloud_mask(scene)
    assert not list(scene.parent.glob("*cloud_mask*"))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 70), (2, 70, 1)])
@pytest.mark.parametrize("hidden", [0, 1])
def test_the_smallest_scenes(tmp_path: Path, shape: tuple[int, int, int], hidden: int) -> None:
    scene = write_scene(tmp_path / "a.tif", np.full(shape, 7, "uint8"))
    write_scene(tmp_path / "a_mask.tif", np.full((1, *shape[1:]), hidden, "uint8"))
    assert cloud_mask(scene).hidden == hidden
