"""Outputs are refused, written, checked and published as the command line promises."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.transform import Affine
from rio_cogeo import cog_validate

from geot2t.errors import InputError, OutputError, RasterReadError
from geot2t.grid import Box
from geot2t.io import lock, publish, raster
from geot2t.io.checksums import sha256_file, verify
from geot2t.io.encode import encode
from geot2t.io.options import refusing
from geot2t.io.sink import Outputs, open_outputs

SHAPE = (4, 300, 700)
NAMES = {"scene_filled.tif", "scene_filled_quality.tif", "scene_filled_error.tif"} | {
    "scene_filled.json"
}
UTM = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600000, 0, -10, 5100000)}


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(1, 4000, SHAPE).astype("uint16")


@pytest.fixture
def scene(tmp_path: Path, pixels: np.ndarray) -> Path:
    path = tmp_path / "scene.tif"
    size = {"count": SHAPE[0], "height": SHAPE[1], "width": SHAPE[2]}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint16", nodata=0, **size, **UTM) as new:
        new.write(pixels)
    return path


def write(outputs: Outputs, pixels: np.ndarray, box: Box, provenance: int = 1) -> None:
    """Write the pixels of one box, and what goes with them."""
    quality = np.full((2, box.height, box.width), provenance, "uint8")
    values = pixels[:, *box.slices]
    outputs.write(box, values, quality, np.full(values.shape, 0.5, "float32"))


def fill(scene: Path, pixels: np.ndarray, out: Path | None = None, **options: Any) -> Path:
    with open_outputs(scene, out, **options) as outputs:
        for box in outputs.blocks():
            write(outputs, pixels, box)
        outputs.commit({"id": "scene", "properties": {"gap": np.float32(0.25)}})
    return outputs.paths.filled


def listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_all_files_appear_together_and_hold_what_was_written(
    scene: Path, pixels: np.ndarray
) -> None:
    with open_outputs(scene) as outputs:
        for box in outputs.blocks():
            write(outputs, pixels, box, provenance=2)
            assert not listing(scene.parent) & NAMES
        outputs.commit({"id": "scene"})
    assert listing(scene.parent) == {"scene.tif"} | NAMES
    with rasterio.open(scene.parent / "scene_filled.tif") as filled:
        np.testing.assert_array_equal(filled.read(), pixels)
    with rasterio.open(scene.parent / "scene_filled_quality.tif") as quality:
        assert (quality.descriptions, quality.dtypes) == (("provenance", "days"), ("uint8",) * 2)
        assert (quality.read() == 2).all()
        assert quality.nodata is None
    with rasterio.open(scene.parent / "scene_filled_error.tif") as error:
        assert error.dtypes == ("float32",) * 4
        assert (error.read() == 0.5).all()
        assert np.isnan(error.nodata)


def test_boxes_of_several_blocks_in_any_order_give_the_same_file(
    scene: Path, pixels: np.ndarray
) -> None:
    one = fill(scene, pixels)
    with open_outputs(scene, scene.with_name("other.tif")) as outputs:
        assert outputs.block == (256, 256)
        for box in (Box(0, 512, 300, 188), Box(256, 0, 44, 512), Box(0, 0, 256, 512)):
            write(outputs, pixels, box)
        outputs.commit({})
    with rasterio.open(one) as a, rasterio.open(outputs.paths.filled) as b:
        np.testing.assert_array_equal(a.read(), b.read())


def test_without_error_raster_none_is_written(scene: Path, pixels: np.ndarray) -> None:
    with open_outputs(scene, error=False) as outputs:
        for box in outputs.blocks():
            values = pixels[:, *box.slices]
            outputs.write(box, values, np.ones((2, box.height, box.width), "uint8"))
        outputs.commit({})
    assert listing(scene.parent) == {"scene.tif"} | NAMES - {"scene_filled_error.tif"}


def test_an_error_raster_of_an_earlier_run_goes_with_it(scene: Path, pixels: np.ndarray) -> None:
    fill(scene, pixels)
    scene.with_name("scene_filled.tif.ovr").write_bytes(b"overviews of the old pixels")
    with open_outputs(scene, error=False, overwrite=True) as outputs:
        for box in outputs.blocks():
            values = pixels[:, *box.slices]
            outputs.write(box, values, np.ones((2, box.height, box.width), "uint8"))
        outputs.commit({})
    assert listing(scene.parent) == {"scene.tif"} | NAMES - {"scene_filled_error.tif"}


def wrong(box: Box, **changes: Any) -> dict[str, Any]:
    """Arguments of `Outputs.write` for ``box``, some of them changed."""
    size = (box.height, box.width)
    right = {
        "box": box,
        "values": np.ones((4, *size), "uint16"),
        "quality": np.ones((2, *size), "uint8"),
        "error": np.zeros((4, *size), "float32"),
    }
    return right | changes


BLOCK = Box(0, 0, 256, 256)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (wrong(BLOCK, values=np.ones((4, 128, 128), "uint16")), "got uint16 of shape"),
        (wrong(BLOCK, values=np.ones((4, 256, 256), "float32")), "takes uint16"),
        (wrong(BLOCK, quality=np.ones((1, 256, 256), "uint8")), "scene_filled_quality.tif takes"),
        (wrong(BLOCK, error=None), "got none"),
        (wrong(Box(0, 10, 256, 256)), "whole"),
        (wrong(Box(0, 0, 256, 100)), "whole"),
        (wrong(Box(256, 512, 256, 256)), "whole"),
    ],
)
def test_what_rasterio_would_bend_into_shape_is_refused(
    scene: Path, arguments: dict[str, Any], message: str
) -> None:
    with open_outputs(scene) as outputs, pytest.raises(InputError, match=message):
        outputs.write(**arguments)


@pytest.mark.parametrize(("provenance", "fails"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_filled_pixel_equal_to_nodata_is_refused(
    scene: Path, provenance: int, *, fails: bool
) -> None:
    values = np.ones((4, 256, 256), "uint16")
    values[2, 17, 30] = 0
    quality = np.full((2, 256, 256), provenance, "uint8")
    with open_outputs(scene) as outputs:
        if fails:
            with pytest.raises(OutputError, match="equals nodata"):
                outputs.write(**wrong(BLOCK, values=values, quality=quality))
        else:
            outputs.write(**wrong(BLOCK, values=values, quality=quality))


def test_a_block_left_out_is_noticed_and_nothing_appears(scene: Path, pixels: np.ndarray) -> None:
    with open_outputs(scene) as outputs:
        for box in list(outputs.blocks())[:-1]:
            write(outputs, pixels, box)
        with pytest.raises(OutputError, match=r"block at row 256, col 512 was not written"):
            outputs.commit({})
    assert listing(scene.parent) == {"scene.tif"}


def test_bytes_that_change_on_the_way_to_the_disk_are_noticed(
    scene: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = raster.RasterPart.close

    def and_damage(part: raster.RasterPart) -> None:
        close(part)
        if part.path.name == "scene_filled.tif":
            with rasterio.open(part.part, "r+") as file:
                file.write(pixels[:, :256, :256] ^ 1, window=((0, 256), (0, 256)))

    monkeypatch.setattr(raster.RasterPart, "close", and_damage)
    with pytest.raises(OutputError, match="did not read back as written at row 0, col 0"):
        fill(scene, pixels)
    assert listing(scene.parent) == {"scene.tif"}


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_when_the_run_is_stopped(
    scene: Path, pixels: np.ndarray, stop: type[BaseException]
) -> None:
    old = fill(scene, pixels).read_bytes()
    before = listing(scene.parent)
    with pytest.raises(stop), open_outputs(scene, overwrite=True) as outputs:
        write(outputs, pixels, BLOCK)
        assert any(name.startswith(".") for name in listing(scene.parent))
        raise stop
    assert listing(scene.parent) == before
    assert (scene.parent / "scene_filled.tif").read_bytes() == old


def test_sigterm_unwinds_and_leaves_nothing(scene: Path, pixels: np.ndarray) -> None:
    with pytest.raises(SystemExit) as stopped, open_outputs(scene) as outputs:
        write(outputs, pixels, BLOCK)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(5)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert listing(scene.parent) == {"scene.tif"}
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("name", [*sorted(NAMES), "scene_filled.tif.aux.xml"])
def test_existing_files_are_refused_before_any_work(scene: Path, name: str) -> None:
    scene.with_name(name).write_text("mine")
    with pytest.raises(InputError, match="exists; pass --overwrite"), open_outputs(scene):
        pass
    assert scene.with_name(name).read_text() == "mine"
    assert listing(scene.parent) == {"scene.tif", name}


def test_a_file_that_appears_meanwhile_is_not_replaced(scene: Path, pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match="exists"), open_outputs(scene) as outputs:
        for box in outputs.blocks():
            write(outputs, pixels, box)
        scene.with_name("scene_filled.json").write_text("another run's")
        outputs.commit({})
    assert listing(scene.parent) == {"scene.tif", "scene_filled.json"}


@pytest.mark.parametrize("link", ["same", "hard", "symbolic"])
def test_an_input_is_never_replaced(scene: Path, link: str) -> None:
    other = scene.with_name("other_date.tif")
    other.write_bytes(scene.read_bytes())
    out = scene.with_name("out.tif")
    if link == "same":
        out = other
    elif link == "hard":
        out.hardlink_to(other)
    else:
        out.symlink_to(other)
    before = other.read_bytes()
    with (
        pytest.raises(InputError, match="is an input"),
        open_outputs(scene, out, overwrite=True, inputs=[other]),
    ):
        pass
    with (
        pytest.raises(InputError, match="is an input"),
        open_outputs(scene, scene, overwrite=True),
    ):
        pass
    assert other.read_bytes() == before


def test_a_companion_that_is_an_input_is_not_replaced_either(scene: Path) -> None:
    mask = scene.with_name("out_quality.tif")
    mask.write_bytes(scene.read_bytes())
    with (
        pytest.raises(InputError, match=r"out_quality\.tif is an input"),
        open_outputs(scene, scene.with_name("out.tif"), overwrite=True, inputs=[mask]),
    ):
        pass


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("missing/out.tif", "missing does not exist"),
        ("scene.tif/out.tif", "is not a directory"),
        ("folder.tif", "is a directory"),
        ("out.png", "name it out.tif instead of out.png"),
        ("n" * 260 + ".tif", "File name too long"),
    ],
)
def test_impossible_targets_are_named_before_any_work(scene: Path, out: str, message: str) -> None:
    scene.with_name("folder.tif").mkdir()
    with (
        pytest.raises((InputError, OutputError), match=message) as refused,
        open_outputs(scene, scene.parent / out),
    ):
        pass
    assert "\n" not in str(refused.value)
    assert listing(scene.parent) == {"scene.tif", "folder.tif"}


def test_an_unwritable_directory_is_one_line(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:  # root may write anywhere, and tests may run as root
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(publish.os, "open", refuse)
    with pytest.raises(OutputError, match=r"scene_filled.tif: Permission denied$"):
        with open_outputs(scene):
            pass


def test_too_little_space_is_said_in_numbers(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024  as shutil's own
    monkeypatch.setattr(publish.shutil, "disk_usage", lambda _: usage(10**9, 10**9, 500_000))
    with pytest.raises(OutputError, match=r"need about [\d.]+ MB but .* has 0.5 MB free"):
        with open_outputs(scene):
            pass
    assert listing(scene.parent) == {"scene.tif"}


@pytest.mark.parametrize(
    "name", ["with space.tif", "ünï.tif", "-dash.tif", "new\nline.tif", "a!b#c?.tif", "x.y.TIFF"]
)
def test_odd_names_are_just_names(scene: Path, pixels: np.ndarray, name: str) -> None:
    out = fill(scene, pixels, scene.parent / name)
    assert out.name == name
    assert all(result.ok for result in verify([out]))


def test_second_run_on_the_same_output_is_refused(scene: Path) -> None:
    with open_outputs(scene):
        with pytest.raises(OutputError, match=rf"another run \(process {os.getpid()} on "):
            with open_outputs(scene):
                pass
        assert any(".part-" in name for name in listing(scene.parent))
        with open_outputs(scene, scene.with_name("other.tif")):
            pass
    assert listing(scene.parent) == {"scene.tif"}


def test_what_a_dead_run_left_is_taken_over_and_removed(scene: Path, pixels: np.ndarray) -> None:
    for left in (
        ".scene_filled.tif.part-1",
        ".scene_filled.json.part-99",
        ".scene_filled.tif.lock",
    ):
        scene.with_name(left).write_text("process 99 on elsewhere")
    mine = ".scene_filled2.tif.part-1"
    scene.with_name(mine).write_text("of another output")
    fill(scene, pixels)
    assert listing(scene.parent) == {"scene.tif", mine} | NAMES


def test_file_systems_without_locks_still_work(
    scene: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    # Without a lock, these may be another run's.
    theirs = ".scene_filled.tif.part-1"
    scene.with_name(theirs).write_text("")
    fill(scene, pixels)
    assert listing(scene.parent) == {"scene.tif", theirs} | NAMES


def test_a_misspelt_option_is_refused_however_quiet_the_program_is(
    scene: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for level in (logging.CRITICAL, logging.DEBUG):
        with (
            caplog.at_level(level),
            pytest.raises(InputError, match="COMPRES=LZW cannot be used"),
            open_outputs(scene, creation_options={"COMPRES": "LZW"}),
        ):
            pass
        assert not [r for r in caplog.records if r.levelno >= logging.WARNING], (
            "one error is enough"
        )


def test_threads_that_write_at_once_leave_the_log_as_it_was() -> None:
    log = logging.getLogger("rasterio._env")
    before = log.level, log.propagate
    first, second = refusing({}), refusing({})
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not log.propagate, "the second is still at it"
    second.__exit__(None, None, None)
    assert (log.level, log.propagate) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"COMPRESS": "JPEG"}, "could change observed pixels"),
        ({"compress": "webp"}, "could change observed pixels"),
        ({"COMPRESS": "LERC", "MAX_Z_ERROR": "0.1"}, "MAX_Z_ERROR must be 0"),
        ({"NBITS": "8"}, "NBITS cannot be set"),
        ({"profile": "BASELINE"}, "PROFILE cannot be set"),
        ({"COMPRES": "LZW"}, "COMPRES=LZW cannot be used: .*COMPRES"),
        ({"ZLEVEL": "99"}, "LEVEL=99 cannot be used"),
        ({"BLOCKXSIZE": "100"}, "SIZE=100 cannot be used"),
        ({"PREDICTOR": "3"}, "PREDICTOR=3 cannot be used"),
    ],
)
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_options_that_cannot_be_are_refused_before_any_work(
    scene: Path, options: dict[str, str], message: str, driver: str
) -> None:
    if driver == "COG":
        spelt = {"BLOCKXSIZE": "BLOCKSIZE", "ZLEVEL": "LEVEL"}
        options = {spelt.get(key, key): value for key, value in options.items()}
    with (
        pytest.raises(InputError, match=message),
        open_outputs(scene, creation_options=options, driver=driver),
    ):
        pass
    assert listing(scene.parent) == {"scene.tif"}


def test_options_of_the_user_are_followed(scene: Path, pixels: np.ndarray) -> None:
    options = {"compress": "zstd", "tiled": "no", "BlockYSize": "100"}
    out = fill(scene, pixels, creation_options=options)
    for name in NAMES - {"scene_filled.json"}:
        with rasterio.open(out.with_name(name)) as file:
            assert file.compression.value == "ZSTD"
            assert file.block_shapes[0] == (100, 700)


def test_unknown_format_and_broken_scene_are_one_line(scene: Path) -> None:
    with pytest.raises(InputError, match="must be GTiff or COG, got PNG"):
        with open_outputs(scene, driver="PNG"):
            pass
    scene.write_bytes(b"not a raster")
    with pytest.raises(RasterReadError, match="not a GeoTIFF"), open_outputs(scene):
        pass
    assert listing(scene.parent) == {"scene.tif"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_cogs_are_valid_and_bit_equal(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(1, 999, (2, 700, 1300)).astype("int16")
    scene = tmp_path / "scene.tif"
    size = {"count": 2, "height": 700, "width": 1300, "dtype": "int16"}
    with rasterio.open(scene, "w", driver="GTiff", nodata=0, **size, **UTM) as new:
        new.write(pixels)
    out = fill(scene, pixels, driver="COG")
    for name in NAMES - {"scene_filled.json"}:
        valid, errors, warnings = cog_validate(out.with_name(name), strict=True, quiet=True)
        assert (valid, errors, warnings) == (True, [], []), name
    with rasterio.open(out) as cog:
        np.testing.assert_array_equal(cog.read(), pixels)
        assert cog.overviews(1)
    again = fill(out, pixels)
    with rasterio.open(again) as cog:
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG", "a COG stays one"
    assert not [name for name in listing(tmp_path) if name.startswith(".")]


def test_verify_finds_every_flipped_byte_missing_file_and_altered_number(
    scene: Path, pixels: np.ndarray
) -> None:
    out = fill(scene, pixels)
    good = verify([out])
    assert [result.path.name for result in good] == [
        "scene_filled.tif",
        "scene_filled_quality.tif",
        "scene_filled_error.tif",
        "scene_filled.json",
    ]
    assert all(result.ok for result in good)
    rng = np.random.default_rng(0)
    for result in good[:3]:
        whole = result.path.read_bytes()
        for place in rng.integers(0, len(whole), 5):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(8))
            result.path.write_bytes(damaged)
            assert [r.path for r in verify([out]) if not r.ok] == [result.path]
            assert "checksum differs" in str(verify([result.path])[0].problem)
        result.path.write_bytes(whole[:-1])
        assert "bytes instead of" in str(verify([result.path])[0].problem)
        result.path.write_bytes(whole)

    item = out.with_name("scene_filled.json")
    text = item.read_text()
    item.write_text(text.replace("0.25", "0.26"))
    assert [r.path for r in verify([item]) if not r.ok] == [item]
    item.write_text(json.dumps(json.loads(text)))
    assert all(r.ok for r in verify([out])), "another layout of the same JSON is no damage"
    item.write_text(text[:50])
    assert not verify([out])[0].ok
    item.write_text(text)
    out.unlink()
    assert "No such file" in str(verify([item])[0].problem)
    item.unlink()
    assert verify([scene])[0].problem == "no checksums beside it"
    assert verify([out])[0].problem == "it does not exist"


def test_item_holds_size_and_multihash_of_every_asset(scene: Path, pixels: np.ndarray) -> None:
    out = fill(scene, pixels)
    item = json.loads(out.with_name("scene_filled.json").read_text())
    assert item["properties"]["gap"] == 0.25
    for asset in item["assets"].values():
        path = out.parent / asset["href"]
        assert asset["file:size"] == path.stat().st_size
        assert asset["file:checksum"] == sha256_file(path)
        assert asset["file:checksum"].startswith("1220")
        assert len(asset["file:checksum"]) == 68


TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]


@given(
    pixels=arrays.arrays("float64", 20, elements=st.floats(-1e20, 1e20) | st.floats(-300, 300)),
    dtype=st.sampled_from(TYPES).map(np.dtype),
    place=st.sampled_from(["none", "min", "max", "zero", "one"]),
)
def test_encoded_integers_are_nearest_and_never_nodata(
    pixels: np.ndarray, dtype: np.dtype[Any], place: str
) -> None:
    info = np.iinfo(dtype)
    nodata = {"none": None, "min": info.min, "max": info.max, "zero": 0, "one": 1}[place]
    stored = encode(pixels, dtype, None if nodata is None else float(nodata))
    assert stored.dtype == dtype
    for value, whole in zip(pixels, stored.tolist(), strict=True):
        nearest = min(max(round(float(value)), info.min), info.max)
        if dtype.itemsize == 8 and nearest in (info.min, info.max):
            assert abs(whole - nearest) <= 2048  # float64 near 2**63
        elif nearest == nodata:
            assert abs(whole - nearest) == 1
            others = [v for v in (nearest - 1, nearest + 1) if info.min <= v <= info.max]
            assert abs(whole - value) == min(abs(other - value) for other in others)
        else:
            assert whole == nearest
    if nodata is not None and dtype.itemsize < 8:
        assert (stored != nodata).all()


@given(
    pixels=arrays.arrays("float64", 20, elements=st.floats(-1e300, 1e300) | st.floats(-1, 1)),
    nodata=st.sampled_from([None, 0.0, -9999.0, 1.0, np.nan, float(np.finfo("float32").min)]),
    hit=st.booleans(),
)
def test_encoded_floats_are_finite_close_and_never_nodata(
    pixels: np.ndarray, nodata: float | None, *, hit: bool
) -> None:
    if hit and nodata is not None and np.isfinite(nodata):
        pixels[3] = nodata
    stored = encode(pixels, np.dtype("float32"), nodata)
    assert np.isfinite(stored).all()
    if nodata is not None:
        assert (stored != np.float32(nodata)).all()
    limit = float(np.finfo("float32").max)
    wanted = np.clip(pixels, -limit, limit)
    np.testing.assert_allclose(stored, wanted, rtol=3e-7, atol=1.2e-38)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_never_stored(dtype: str, bad: float) -> None:
    with pytest.raises(OutputError, match="must be finite"):
        encode(np.array([0.5, bad]), np.dtype(dtype), None)
