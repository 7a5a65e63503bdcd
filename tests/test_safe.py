"""Hostile and broken rasters cost one line: no network, no other file, no memory, no hang."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from geot2t.errors import RasterReadError
from geot2t.grid import Box
from geot2t.io import safe
from geot2t.io.safe import Raster, check_limits, is_url, open_raster

ALL = Box(0, 0, 8, 8)


def write(path: Path, values: np.ndarray, **profile) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=values.shape[0],
        height=values.shape[1],
        width=values.shape[2],
        dtype=values.dtype,
        crs="EPSG:32632",
        transform=Affine(10, 0, 600_000, 0, -10, 5_000_000),
        **profile,
    ) as dst:
        dst.write(values)
    return path


def tiff(tags: dict[int, tuple[int, int, int]], *, data: bytes = b"") -> bytes:
    """A little-endian TIFF header with one directory of ``tag: (type, count, value)``."""
    entries = b"".join(struct.pack("<HHII", t, *tags[t]) for t in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + data


@pytest.fixture
def scene(tmp_path) -> Path:
    return write(tmp_path / "a.tif", np.arange(128, dtype="uint16").reshape(2, 8, 8))


@pytest.fixture
def beacon():
    """Address of a server on this machine, and the list of requests it got."""
    hits: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815  the name that the server looks for

        def log_message(self, *args) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", hits
    server.shutdown()
    server.server_close()


def vrt(source: str) -> str:
    return (
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="UInt16" band="1">'
        f'<SimpleSource><SourceFilename relativeToVRT="0">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def everything(path: Path) -> None:
    """Do all that geot2t does to a raster, and more: decimated reads and overview listing."""
    raster = Raster(path)
    with open_raster(path) as dataset:
        dataset.overviews(1)
        dataset.read(1, out_shape=(2, 2))
        dataset.tags()
    raster.read(Box(0, 0, 4, 4), [1])
    raster.read_mask(Box(0, 0, 4, 4))
    raster.close()


def test_a_raster_is_read_as_it_is(scene) -> None:
    raster = Raster(scene)
    want = np.arange(128, dtype="uint16").reshape(2, 8, 8)
    got = raster.read(Box(1, 2, 3, 4), [2, 1])
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got, want[::-1, 1:4, 2:6])


def test_a_reference_inside_a_geotiff_is_not_followed(tmp_path, beacon) -> None:
    url, hits = beacon
    path = write(tmp_path / "a.tif", np.ones((1, 8, 8), "uint16"))
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{url}/overview.tif")
    everything(path)
    assert hits == []


@pytest.mark.parametrize("suffix", [".ovr", ".msk", ".aux.xml"])
def test_a_file_beside_the_raster_is_not_a_way_to_the_network(tmp_path, beacon, suffix) -> None:
    url, hits = beacon
    path = write(tmp_path / "a.tif", np.ones((1, 8, 8), "uint16"))
    text = vrt(f"/vsicurl/{url}/x.tif")
    if suffix == ".aux.xml":
        text = (
            '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">'
            f"/vsicurl/{url}/x.tif</MDI></Metadata></PAMDataset>"
        )
    path.with_name(path.name + suffix).write_text(text)
    try:
        everything(path)
    except RasterReadError as error:
        assert "\n" not in str(error)  # noqa: PT017  reading may fail, but quietly
    assert hits == []


def test_a_vrt_is_refused_whatever_it_is_called(tmp_path, beacon, scene) -> None:
    url, hits = beacon
    disguised = tmp_path / "b.tif"
    for source in (f"/vsicurl/{url}/x.tif", str(scene), "/etc/passwd"):
        disguised.write_text(vrt(source))
        with pytest.raises(RasterReadError, match=r"b\.tif is a VRT, .*gdal_translate"):
            everything(disguised)
    assert hits == []


def test_a_vrt_is_read_where_that_is_allowed_but_without_the_network(
    tmp_path, beacon, scene
) -> None:
    url, hits = beacon
    path = tmp_path / "b.vrt"
    path.write_text(vrt(str(scene)))
    got = Raster(path, vrt=True).read(ALL, 1)
    np.testing.assert_array_equal(got, np.arange(64).reshape(8, 8))
    remote = tmp_path / "c.vrt"
    remote.write_text(vrt(f"/vsicurl/{url}/x.tif"))
    with pytest.raises(RasterReadError):
        Raster(remote, vrt=True).read(ALL, 1)
    assert hits == []


def test_an_address_that_the_user_typed_is_asked_for(beacon) -> None:
    url, hits = beacon
    with pytest.raises(RasterReadError) as caught, open_raster(f"{url}/a.tif?token=secret"):
        pass
    assert any("a.tif" in hit for hit in hits)
    assert "secret" not in str(caught.value)
    assert is_url("https://x/a.tif")
    assert not is_url(Path("https://x/a.tif"))


BOMBS = {
    "a block of 2 GiB": {256: 2**31 - 1, 257: 64, 322: 2**16, 323: 2**15},
    "a tile of 512 MiB": {256: 2**16, 257: 2**16, 259: 8, 322: 2**14, 323: 2**15},
    "65535 bands": {256: 8, 257: 8, 277: 65535},
    "2^40 pixels": {256: 2**20, 257: 2**20, 322: 256, 323: 256},
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_their_headers(tmp_path, name) -> None:
    given = {258: 8, 259: 1, 262: 1, 277: 1, 278: 1} | BOMBS[name]
    tags = {tag: (4, 1, value) for tag, value in given.items()}
    if 322 in tags:
        tags.pop(278)
        tags |= {324: (4, 1, 200), 325: (4, 1, 10)}
    else:
        tags |= {273: (4, 1, 200), 279: (4, 1, 10)}
    path = tmp_path / "bomb.tif"
    path.write_bytes(tiff(tags, data=bytes(100)))
    start = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RasterReadError) as caught, open_raster(path):
        pass
    assert "\n" not in str(caught.value)
    assert time.process_time() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


class Declared:
    """What a header says, without the file."""

    def __init__(self, **more) -> None:
        self.count, self.width, self.height = 3, 1000, 1000
        self.dtypes: tuple[str, ...] = ("uint16",) * 3
        self.block_shapes = [(256, 256)] * 3
        self.interleaving = None
        self.__dict__.update(more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"count": 0}, "has no raster band"),
        ({"count": 513}, "has 513 bands, at most 512"),
        ({"width": 2**20, "height": 2**18}, "pixels, at most"),
        ({"dtypes": ("complex_int16",) * 3}, "holds complex numbers"),
        ({"dtypes": ("uint8", "uint16")}, "bands of different types: uint16, uint8"),
        ({"block_shapes": [(2**14, 2**14)]}, "blocks of 1536 MiB, at most 256 MiB"),
        ({"block_shapes": [(1, 1)], "width": 2**16, "height": 2**12}, "blocks, at most"),
    ],
)
def test_each_limit_is_named(more, message) -> None:
    with pytest.raises(RasterReadError, match=message):
        check_limits(Declared(**more), "a.tif")


def test_a_real_scene_is_within_the_limits() -> None:
    check_limits(Declared(width=100_000, height=100_000, block_shapes=[(512, 512)]), "a.tif")


def test_what_is_no_raster_is_said_in_one_line(tmp_path) -> None:
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("not a raster")
    (tmp_path / "cut.tif").write_bytes(b"II*\0\x08\0\0\0")
    (tmp_path / "line\nbreak.tif").write_text("x")
    for name, message in {
        "absent.tif": "does not exist",
        "": "is a directory, a raster is needed",
        "empty.tif": "is empty",
        "text.tif": "is not a GeoTIFF or JPEG 2000 file",
        "cut.tif": "cannot be read",
    }.items():
        with pytest.raises(RasterReadError, match=message) as caught, open_raster(tmp_path / name):
            pass
        assert "\n" not in str(caught.value)


def test_odd_file_names_are_only_names(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GTIFF_DIR:1:a.tif", "-x.tif", "a b.tif", "ä.tif", "zip+file.tif"):
        path = Path(name)
        write(tmp_path / "plain.tif", np.ones((1, 8, 8), "uint8")).rename(path)
        assert Raster(path).read(ALL, 1).sum() == 64


def test_damage_is_found_while_reading(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**16, (1, 256, 256), "uint16")
    path = write(tmp_path / "a.tif", noise, compress="deflate", tiled=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 2000 + whole[len(whole) // 2 + 2000 :])
    with pytest.raises(RasterReadError, match=r"a\.tif cannot be read: ") as caught:
        Raster(path).read(Box(0, 0, 256, 256), 1)
    assert "\n" not in str(caught.value)
    assert "previous exception" not in str(caught.value)


def _sum_in_child(raster: Raster, queue) -> None:
    total = int(raster.read(Box(0, 0, 256, 256), 1).sum(dtype="int64"))
    queue.put((total, len(safe._POOL._abandoned)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_opens_the_file_anew(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**16, (1, 256, 256), "uint16")
    raster = Raster(write(tmp_path / "a.tif", noise, compress="deflate", tiled=True))
    raster.read(ALL, 1)  # the parent holds a handle when it forks
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_sum_in_child, args=(raster, queue)) for _ in range(4)]
    for child in children:
        child.start()
    found = [queue.get(timeout=30) for _ in children]
    for child in children:
        child.join()
    assert found == [(int(noise.sum(dtype="int64")), 1)] * 4


def test_threads_have_handles_of_their_own(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**16, (1, 256, 256), "uint16")
    raster = Raster(write(tmp_path / "a.tif", noise, compress="deflate", tiled=True))
    wrong = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(50):
            row, col = rng.integers(0, 240, 2)
            got = raster.read(Box(int(row), int(col), 16, 16), 1)
            if not np.array_equal(got, noise[0, row : row + 16, col : col + 16]):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_raster_can_be_pickled_and_outlives_many_others(tmp_path, scene) -> None:
    raster = pickle.loads(pickle.dumps(Raster(scene)))  # noqa: S301  made here
    others = [
        Raster(write(tmp_path / f"{i}.tif", np.full((1, 8, 8), i, "uint8"))) for i in range(80)
    ]
    assert [int(r.read(ALL, 1)[0, 0]) for r in others] == list(range(80))
    assert raster.read(ALL, 1)[7, 7] == 63
    raster.close()
    assert raster.read(ALL, 1)[7, 7] == 63


def test_blocks_that_a_sparse_file_lacks_are_known(tmp_path) -> None:
    path = tmp_path / "a.tif"
    profile = {"tiled": True, "blockxsize": 256, "blockysize": 256, "sparse_ok": True}
    with rasterio.open(
        path, "w", driver="GTiff", height=512, width=512, count=2, dtype="uint16", **profile
    ) as dst:
        dst.write(np.ones((2, 256, 256), "uint16"), window=((256, 512), (0, 256)))
    raster = Raster(path)
    empty = [[raster.stores_nothing(Box(r, c, 256, 256)) for c in (0, 256)] for r in (0, 256)]
    assert empty == [[True, True], [False, True]]
    assert raster.stores_nothing(Box(0, 0, 256, 512))
    assert not raster.stores_nothing(Box(255, 255, 2, 2))
