"""A scene filled by one method alone: chosen by name, measured all the same, and said so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.windows import Window

from geot2t import filling, jobs
from geot2t.baselines import METHODS, SPATIAL, space
from geot2t.cli import main
from geot2t.errors import InputError
from geot2t.fill import Prediction
from geot2t.methods import AUTO, NAMES, BaselineEstimates, Fewer


@pytest.fixture(scope="module")
def folder(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corner of four dates of the sample."""
    to = tmp_path_factory.mktemp("corner")
    corner = Window(0, 0, 96, 80)
    for date in ("2022-06-05", "2022-06-10", "2022-06-12", "2022-06-17"):
        with rasterio.open(sample / f"{date}.tif") as file:
            profile = {**file.profile, "width": 96, "height": 80}
            values, tags, names = file.read(window=corner), file.tags(), file.descriptions
        with rasterio.open(to / f"{date}.tif", "w", **profile) as file:
            file.write(values)
            file.update_tags(**tags)
            file.descriptions = names
        cloud = np.zeros((80, 96), "uint8")
        if date == "2022-06-10":
            cloud[20:60, 30:70] = 1
        elif date == "2022-06-12":
            cloud[:, :40] = 1
        profile.update(count=1, dtype="uint8", nodata=None)
        with rasterio.open(to / f"{date}_mask.tif", "w", **profile) as file:
            file.write(cloud, 1)
    return to


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize("method", METHODS)
def test_each_baseline_fills_a_scene_and_leaves_what_was_observed(
    folder: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(filling, "_load", refuse)
    scene = folder / "2022-06-10.tif"
    result = jobs.inpaint(
        scene, tmp_path / "out.tif", series=folder, method=method, window=64, overlap=16
    )
    filled, before = read(result.path), read(scene)
    provenance, days = read(tmp_path / "out_quality.tif")
    error = read(tmp_path / "out_error.tif")
    gap = read(folder / "2022-06-10_mask.tif")[0] > 0
    seen = provenance == 1
    assert (provenance[gap] == (3 if method in SPATIAL else 2)).all()
    assert (days[gap] == 255).all() == (method in SPATIAL)
    np.testing.assert_array_equal(filled[:, seen], before[:, seen])
    assert not (filled == 0).any()
    assert (error[:, gap] > 0).all()
    assert (error[:, seen] == 0).all()

    said = result.item["properties"]
    assert said["geot2t:options"]["method"] == method
    assert said["geot2t:model"] == {"name": method}
    for band in said["geot2t:self_check"]["bands"]:
        assert band["method"] == method
        assert list(band["errors"]) == list(dict.fromkeys((method, "linear")))
        assert band["coverage"] > 0.5


class Three:
    """Methods of constants; each call is remembered."""

    methods = ("network", "prior", "linear")
    factors = {"prior": 3.0}  # noqa: RUF012

    def __init__(self) -> None:
        self.asked: set[tuple[str, ...]] = set()

    def __call__(
        self, pixels: Any, valid: Any, days: Any, target: int, methods: Sequence[str], **_: Any
    ) -> dict[str, Prediction]:
        self.asked.add(tuple(methods))
        away = np.full(valid[:, 0].shape, 5, "float32")
        # Higher is worse here: the scene is darker than all of these.
        level = {"network": 9000, "prior": 9500, "linear": 9999}
        return {
            name: Prediction(
                np.full_like(pixels[:, 0], level[name]), np.ones_like(pixels[:, 0]), away
            )
            for name in methods
        }


@pytest.mark.parametrize(
    ("method", "value", "measured"),
    [
        ("auto", 9000, ("network", "prior", "linear")),
        ("network", 9000, ("network", "prior", "linear")),
        ("prior", 9500, ("prior", "linear")),
        ("linear", 9999, ("linear",)),
    ],
)
def test_one_method_of_a_model_is_used_however_the_others_do(
    folder: Path, tmp_path: Path, method: str, value: int, measured: tuple[str, ...]
) -> None:
    model = Three()
    result = jobs.inpaint(
        folder / "2022-06-10.tif", tmp_path / "out.tif", series=folder, method=method, model=model
    )
    assert result.check is not None
    assert set(result.check.methods) == {method if method != "auto" else "network"}
    assert tuple(dict.fromkeys(row.method for row in result.check.rows)) == measured
    assert (read(result.path)[:, 20:60, 30:70] == value).all()
    assert model.asked <= {measured, (result.check.methods[0],)}


def test_where_nothing_can_be_hidden_the_named_method_is_used_too(
    folder: Path, tmp_path: Path
) -> None:
    for file in folder.glob("*.tif"):
        shutil.copy(file, tmp_path)
    with rasterio.open(tmp_path / "2022-06-10_mask.tif", "r+") as file:
        file.write(np.ones((1, 80, 96), "uint8"))
    result = jobs.inpaint(tmp_path / "2022-06-10.tif", series=tmp_path, method="previous")
    assert result.check is not None
    assert set(result.check.methods) == {"previous"}
    np.testing.assert_array_equal(read(result.path), read(tmp_path / "2022-06-05.tif"))


def test_fewer_methods_keep_the_defaults_of_their_model() -> None:
    fewer = Fewer(Three(), "prior")
    assert fewer.methods == ("prior", "linear")
    assert fewer.factors == {"prior": 3.0}
    with pytest.raises(InputError, match="no method 'median'; it has network, prior, linear"):
        Fewer(Three(), "median")


def test_what_cannot_be_is_refused_before_any_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, out = folder / "2022-06-10.tif", tmp_path / "out.tif"
    with pytest.raises(InputError, match="no method 'kriging'; there are auto, network, prior, li"):
        jobs.inpaint(scene, out, method="kriging")
    with pytest.raises(InputError, match="the method median uses no model"):
        jobs.inpaint(scene, out, method="median", model="t2t-gan")
    with pytest.raises(InputError, match="the method prior does not use the network"):
        jobs.inpaint(scene, out, method="prior", adapt=5)
    monkeypatch.setitem(space.LIBRARIES, "biharmonic", ("no_such_module", "scikit-image"))
    with pytest.raises(InputError, match="needs scikit-image"):
        jobs.inpaint(scene, out, method="biharmonic")
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_is_a_usage_error_that_lists_the_names(folder: Path) -> None:
    result = CliRunner().invoke(
        main, ["inpaint", str(folder / "2022-06-10.tif"), "--method", "kriging"]
    )
    assert result.exit_code == 2
    for name in NAMES:
        assert f"'{name}'" in result.stderr


def test_the_help_lists_every_method() -> None:
    shown = CliRunner().invoke(main, ["inpaint", "--help"]).stdout
    text = " ".join(shown[shown.index("--method") : shown.index("--overwrite")].split())
    for name in NAMES:
        assert name in text, name


def test_names_are_unlike() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert NAMES[0] == AUTO
    assert BaselineEstimates("linear").methods == ("linear",)


def test_a_baseline_needs_neither_torch_nor_weights(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from geot2t.cli import main\n"
        f"try: main(['inpaint', {str(folder / '2022-06-10.tif')!r}, '--series', {str(folder)!r}, "
        f"'-o', {str(tmp_path / 'out.tif')!r}, '--method', 'whittaker'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print('loaded:', *({'torch', 'safetensors', 'geot2t.model'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [str(tmp_path / "out.tif"), "loaded:"]
