"""Nothing of a scene gets lost on its way into the filled raster."""

from __future__ import annotations

import math
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp as Color
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from geot2t.errors import InputError
from geot2t.io.checksums import verify
from geot2t.io.encode import encode
from geot2t.io.metadata import read_metadata
from geot2t.io.sink import open_outputs

HEIGHT, WIDTH = 90, 130
NORTH_UP = Affine(10, 0, 600000, 0, -10, 5100000)
RPC = {
    "ERR_BIAS": "-1",
    "ERR_RAND": "-1",
    "HEIGHT_OFF": "300",
    "HEIGHT_SCALE": "970",
    "LAT_OFF": "-42.8607",
    "LAT_SCALE": "0.0715",
    "LONG_OFF": "147.2588",
    "LONG_SCALE": "0.0828",
    "LINE_OFF": "45",
    "LINE_SCALE": "45",
    "SAMP_OFF": "65",
    "SAMP_SCALE": "65",
    "LINE_NUM_COEFF": " ".join(["0", "0", "-1", *["0"] * 17]),
    "LINE_DEN_COEFF": " ".join(["1", *["0"] * 19]),
    "SAMP_NUM_COEFF": " ".join(["0", "1", *["0"] * 18]),
    "SAMP_DEN_COEFF": " ".join(["1", *["0"] * 19]),
}

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def pixels_of(dtype: str, count: int) -> np.ndarray:
    """Pixels that tell where they are, and that use all of their bits."""
    rng = np.random.default_rng(7)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0.2, 0.1, (count, HEIGHT, WIDTH)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, (count, HEIGHT, WIDTH), dtype=dtype, endpoint=True)


def make(path: Path, pixels: np.ndarray, describe: Any = None, **profile: Any) -> Path:
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=HEIGHT,
            width=WIDTH,
            count=len(pixels),
            dtype=pixels.dtype.name,
            **profile,
        ) as scene,
    ):
        if describe is not None:
            describe(scene)
        scene.write(pixels)
    return path


def copied(scene: Path, pixels: np.ndarray, provenance: int = 1, **options: Any) -> Path:
    """What becomes of a scene whose pixels are all of one ``provenance``."""
    with open_outputs(scene, **options) as outputs:
        for box in outputs.blocks():
            shape = (box.height, box.width)
            quality = np.full((2, *shape), provenance, "uint8")
            error = np.zeros((len(pixels), *shape), "float32")
            outputs.write(box, pixels[:, *box.slices], quality, error)
        outputs.commit({"id": "scene"})
    return outputs.paths.filled


def everything(path: Path) -> dict[str, Any]:
    """All that rasterio can tell of a raster but its layout in the file."""
    with warnings.catch_warnings(), rasterio.open(path) as dataset:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        spaces = set(dataset.tag_namespaces()) - {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS"}
        found = {
            "shape": (dataset.count, *dataset.shape),
            "dtypes": dataset.dtypes,
            "nodata": [None if v is None else repr(v) for v in dataset.nodatavals],
            "crs": dataset.crs,
            "transform": dataset.transform,
            "gcps": ([(g.row, g.col, g.x, g.y, g.z) for g in dataset.gcps[0]], dataset.gcps[1]),
            "tags": {name: dataset.tags(ns=name) for name in spaces} | {"": dataset.tags()},
            "band tags": [dataset.tags(i) for i in dataset.indexes],
            "scales": dataset.scales,
            "offsets": dataset.offsets,
            "units": dataset.units,
            "descriptions": dataset.descriptions,
            "colours": dataset.colorinterp,
            "bits": dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS"),
            "mask": dataset.mask_flag_enums,
            "overviews": dataset.overviews(1),
        }
        if dataset.colorinterp[0] is Color.palette:
            found["palette"] = dataset.colormap(1)
        return found


def name_bands(scene: Any) -> None:
    scene.descriptions = ("blue", "green", "red", "nir")
    scene.scales, scene.offsets = (1e-4,) * 4, (-0.1, -0.1, -0.1, -0.2)
    scene.units = ("reflectance",) * 4
    scene.colorinterp = (Color.blue, Color.green, Color.red, Color.nir)
    scene.update_tags(TIFFTAG_DATETIME="2022:06:01 10:00:00", AREA_OR_POINT="Point", note="ä<&>\n")
    scene.update_tags(ns="PRODUCT", baseline="04.00", orbit="a=b")
    scene.update_tags(2, wavelength="0.56")


def palette(scene: Any) -> None:
    scene.write_colormap(1, {i: (i, 255 - i, 7, 255) for i in range(256)})


# Three axes: no GeoTIFF key says that.
UTM_WITH_HEIGHT = (
    'PROJCRS["UTM 31N with height",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",'
    'ELLIPSOID["WGS 84",6378137,298.257223563]],ID["EPSG",4979]],CONVERSION["UTM zone 31N",'
    'METHOD["Transverse Mercator",ID["EPSG",9807]],'
    'PARAMETER["Latitude of natural origin",0,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["Longitude of natural origin",3,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["Scale factor at natural origin",0.9996],'
    'PARAMETER["False easting",500000,LENGTHUNIT["metre",1]],'
    'PARAMETER["False northing",0,LENGTHUNIT["metre",1]]],'
    'CS[Cartesian,3],AXIS["(E)",east],AXIS["(N)",north],AXIS["height (h)",up],'
    'LENGTHUNIT["metre",1]]'
)
GCPS = [
    GroundControlPoint(0, 0, 11.0, 47.0, 400),
    GroundControlPoint(0, WIDTH, 11.1, 47.0, 410),
    GroundControlPoint(HEIGHT, 0, 11.0, 46.9, 420),
    GroundControlPoint(HEIGHT, WIDTH, 11.1, 46.8, 430),
]
UTM = {"crs": "EPSG:32632", "transform": NORTH_UP}
SCENES: dict[str, dict[str, Any]] = {
    "uint8, colours": {"dtype": "uint8", "count": 3, "photometric": "RGB", **UTM},
    "uint8, palette": {"dtype": "uint8", "describe": palette, "photometric": "PALETTE", **UTM},
    "uint16, everything": {"dtype": "uint16", "count": 4, "nodata": 0, "describe": name_bands}
    | UTM,
    "uint16 of 12 bits": {"dtype": "uint16", "NBITS": 12, **UTM},
    "int16, nodata": {"dtype": "int16", "count": 2, "nodata": -9999, **UTM},
    "float32, nodata NaN": {"dtype": "float32", "count": 2, "nodata": math.nan, **UTM},
    "float32, nodata at the limit": {"dtype": "float32", "nodata": -3.4028234663852886e38, **UTM},
    "float64": {"dtype": "float64", "nodata": -1.7e308, **UTM},
    "control points": {"dtype": "uint16", "gcps": GCPS, "crs": "EPSG:4326"},
    "RPCs": {"dtype": "uint16", "describe": lambda scene: scene.update_tags(ns="RPC", **RPC)},
    "south up": {"dtype": "uint8", "crs": "EPSG:32632", "transform": Affine(10, 0, 6, 0, 10, 5)},
    "rotated": {
        "dtype": "uint8",
        "crs": "EPSG:32632",
        "transform": Affine(8.66, 10, 6e5, 5, -17.3, 5e6),
    },
    "no CRS": {"dtype": "uint8", "transform": NORTH_UP},
    "no place at all": {"dtype": "uint8"},
    "own CRS": {
        "dtype": "uint8",
        "crs": "+proj=laea +lat_0=17 +lon_0=5 +ellps=bessel +units=m",
        "transform": NORTH_UP,
    },
    "strips by band": {"dtype": "uint16", "count": 3, "INTERLEAVE": "BAND", **UTM},
}


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("kind", SCENES)
def test_all_that_a_scene_says_is_kept(tmp_path: Path, kind: str, driver: str) -> None:
    profile = dict(SCENES[kind])
    pixels = pixels_of(profile.pop("dtype"), profile.pop("count", 1))
    if bits := profile.get("NBITS"):
        pixels &= 2**bits - 1
    scene = make(tmp_path / "scene.tif", pixels, profile.pop("describe", None), **profile)

    out = copied(scene, pixels, driver=driver)

    assert everything(out) == everything(scene)
    with rasterio.open(out) as dataset:
        assert dataset.read().tobytes() == pixels.tobytes()
    names = [f"scene_filled{end}" for end in (".tif", "_quality.tif", "_error.tif", ".json")]
    for name in names[1:3]:
        there = everything(out.with_name(name))
        assert [there[k] for k in ("crs", "transform", "gcps")] == [
            everything(scene)[k] for k in ("crs", "transform", "gcps")
        ]
        assert there["tags"].get("RPC") == everything(scene)["tags"].get("RPC")


def test_a_crs_that_geotiff_cannot_hold_moves_along_in_a_file_beside(tmp_path: Path) -> None:
    pixels = pixels_of("uint8", 1)
    crs = rasterio.CRS.from_wkt(UTM_WITH_HEIGHT)
    scene = make(tmp_path / "scene.tif", pixels, crs=crs, transform=NORTH_UP)
    out = copied(scene, pixels)
    assert everything(out)["crs"] == crs
    beside = out.with_name("scene_filled.tif.aux.xml")
    assert {result.path for result in verify([out])} >= {out, beside}
    assert not list(tmp_path.glob(".*"))


def test_statistics_are_dropped_as_they_are_no_longer_true(tmp_path: Path) -> None:
    pixels = pixels_of("uint8", 1)

    def count(scene: Any) -> None:
        scene.update_tags(1, STATISTICS_MEAN="12", kept="yes")

    out = copied(make(tmp_path / "scene.tif", pixels, count, **UTM), pixels)
    assert everything(out)["band tags"] == [{"kept": "yes"}]


def test_an_overview_address_hidden_in_a_scene_is_not_passed_on(tmp_path: Path) -> None:
    pixels = pixels_of("uint8", 1)

    def bait(scene: Any) -> None:
        scene.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/vsicurl/http://127.0.0.1:9/x.tif")

    out = copied(make(tmp_path / "scene.tif", pixels, bait, **UTM), pixels)
    assert b"vsicurl" not in out.read_bytes()


def test_mask_band_shows_observed_and_filled_pixels(tmp_path: Path) -> None:
    pixels = pixels_of("uint8", 3)
    scene = make(tmp_path / "scene.tif", pixels, photometric="RGB", **UTM)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(scene, "r+") as dataset:
        dataset.write_mask(np.zeros((HEIGHT, WIDTH), bool))
    provenance = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 4

    with open_outputs(scene) as outputs:
        for box in outputs.blocks():
            here = provenance[box.slices]
            quality = np.stack([here, here]).astype("uint8")
            error = np.zeros((3, box.height, box.width), "float32")
            outputs.write(box, pixels[:, *box.slices], quality, error)
        outputs.commit({})

    with rasterio.open(outputs.paths.filled) as dataset:
        assert dataset.mask_flag_enums[0] == [MaskFlags.per_dataset]
        np.testing.assert_array_equal(dataset.read_masks(1) > 0, provenance > 0)
    assert not list(tmp_path.glob("*.msk"))


@pytest.mark.parametrize(
    ("dtype", "opaque"), [("uint8", 255), ("uint16", 65535), ("uint64", 2**64 - 1)]
)
def test_filled_pixels_become_opaque_and_observed_alpha_stays(
    tmp_path: Path, dtype: str, opaque: int
) -> None:
    pixels = pixels_of(dtype, 4)
    colours = (Color.red, Color.green, Color.blue, Color.alpha)

    def colour(dataset: Any) -> None:
        dataset.colorinterp = colours

    scene = make(tmp_path / "scene.tif", pixels, colour, photometric="RGB", **UTM)
    for provenance, alpha in ((1, pixels[3]), (2, np.full_like(pixels[3], opaque))):
        out = copied(scene, pixels, provenance, overwrite=True)
        with rasterio.open(out) as dataset:
            assert dataset.colorinterp == colours
            np.testing.assert_array_equal(dataset.read(4), alpha)
            np.testing.assert_array_equal(dataset.read([1, 2, 3]), pixels[:3])


def test_overviews_are_made_anew_with_the_same_factors(tmp_path: Path) -> None:
    pixels = np.full((1, HEIGHT, WIDTH), 40, "uint8")
    scene = make(tmp_path / "scene.tif", pixels, **UTM)
    with rasterio.open(scene, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.nearest)
    out = copied(scene, pixels + 1)
    with rasterio.open(out) as dataset:
        assert dataset.overviews(1) == [2, 4]
    with rasterio.open(out, OVERVIEW_LEVEL=1) as dataset:
        np.testing.assert_array_equal(dataset.read(), 41)
    with rasterio.open(out.with_name("scene_filled_quality.tif")) as dataset:
        assert dataset.overviews(1) == [2, 4]


def test_lossy_scene_is_filled_without_loss(tmp_path: Path) -> None:
    pixels = pixels_of("uint8", 3)
    scene = make(tmp_path / "scene.tif", pixels, compress="JPEG", photometric="YCBCR", **UTM)
    with rasterio.open(scene) as dataset:
        seen = dataset.read()
        assert read_metadata(dataset).lossy
    with rasterio.open(copied(scene, seen)) as dataset:
        assert dataset.compression.value == "DEFLATE"
        np.testing.assert_array_equal(dataset.read(), seen)


def test_jpeg2000_scene_becomes_a_geotiff_and_that_is_said(tmp_path: Path) -> None:
    pixels = pixels_of("uint16", 2)
    tif = make(tmp_path / "scene.tif", pixels, **UTM)
    scene = tmp_path / "scene.jp2"
    rasterio.shutil.copy(tif, scene, driver="JP2OpenJPEG", REVERSIBLE="YES", QUALITY="100")
    tif.unlink()
    with open_outputs(scene) as outputs:
        assert outputs.paths.filled.name == "scene_filled.tif"
        assert any("JP2OpenJPEG" in note for note in outputs.meta.notes)
    out = copied(scene, pixels)
    with rasterio.open(out) as dataset:
        assert (dataset.crs, dataset.transform) == (rasterio.CRS.from_epsg(32632), NORTH_UP)


def test_nodata_that_the_type_cannot_hold_marks_nothing_and_is_dropped(tmp_path: Path) -> None:
    pixels = pixels_of("uint8", 1)
    scene = make(tmp_path / "scene.tif", pixels, nodata=201, **UTM)
    # rasterio refuses to write what other programs do write: tag GDAL_NODATA, 4 letters.
    tag = struct.pack("<HHI", 42113, 2, 4)
    assert tag + b"201\0" in scene.read_bytes()
    scene.write_bytes(scene.read_bytes().replace(tag + b"201\0", tag + b"-99\0"))
    assert everything(copied(scene, pixels))["nodata"] == [None]


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=2, width=2, count=1, dtype="complex64", **UTM
    ):
        pass
    with rasterio.open(path) as dataset, pytest.raises(InputError, match="real numbers"):
        read_metadata(dataset)


def test_twelve_bit_scene_takes_no_value_above_4095(tmp_path: Path) -> None:
    pixels = pixels_of("uint16", 1) & 4095
    scene = make(tmp_path / "scene.tif", pixels, NBITS=12, **UTM)
    with open_outputs(scene) as outputs:
        meta = outputs.meta
    assert encode(np.array([9000.0]), meta.dtype, meta.nodata, meta.bits) == 4095
