"""A STAC API is searched and its files are read, all from a server on this machine."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.windows import Window
from stac_sample import SCENE, plain_series, write_items

import geot2t
from geot2t.cli import main
from geot2t.errors import InputError
from geot2t.grid import Box
from geot2t.io import open_stack
from geot2t.stac import Search

WINDOW = Window(40, 90, 48, 48)
WHOLE = Box(0, 0, 48, 48)
PAGE = 5
CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/collections",
]


class Api(ThreadingHTTPServer):
    """A STAC API that searches one collection, and the files that its items name."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.folder = folder
        self.asked: list[dict[str, Any]] = []
        self.fetched: list[str] = []
        self.items = json.loads((folder / "items.json").read_text())["features"]
        for item in self.items:
            own = f"{self.url}/collections/sentinel-2-l2a/items/{item['id']}"
            item["links"] = [{"rel": "self", "href": own, "type": "application/geo+json"}]
            for asset in item["assets"].values():
                # Some servers give whole addresses, some give them from the item.
                name = asset["href"].removeprefix("./")
                whole = f"{self.url}/files/{name}"
                asset["href"] = whole if "B0" in name else f"../../../files/{name}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def found(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        first, last = query["datetime"].split("/")
        west, south, east, north = query["bbox"]
        return [
            item
            for item in self.items
            if item["collection"] in query["collections"]
            and first <= item["properties"]["datetime"] <= last
            and (item["bbox"][0] <= east and west <= item["bbox"][2])
            and (item["bbox"][1] <= north and south <= item["bbox"][3])
        ]


class Answers(BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def send(self, body: bytes, kind: str = "application/json", status: int = 200, **head: str):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in head.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url, api = self.server.url, self.server
        if self.path in ("", "/"):
            links = [{"rel": "root", "href": url}, {"rel": "self", "href": url}]
            links += [
                {"rel": "search", "href": f"{url}/search", "method": method,
                 "type": "application/geo+json"}
                for method in ("GET", "POST")
            ]  # fmt: skip
            landing = {"type": "Catalog", "stac_version": "1.0.0", "id": "api", "description": "x",
                       "conformsTo": CONFORMS, "links": links}  # fmt: skip
            return self.send(json.dumps(landing).encode())
        if self.path == "/items.json":
            return self.send(
                json.dumps({"type": "FeatureCollection", "features": api.items}).encode()
            )
        if self.path.startswith("/collections/"):
            name = self.path.rsplit("/", 1)[-1]
            return self.send(json.dumps(next(i for i in api.items if i["id"] == name)).encode())
        if self.path.startswith("/files/"):
            api.fetched.append(self.path)
            name = self.path.removeprefix("/files/").split("?")[0]
            return self.send_part((api.folder / name).read_bytes())
        return self.send(b"nothing here", "text/plain", 404)

    def send_part(self, whole: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not asked:
            return self.send(whole, "image/tiff", Accept_Ranges="bytes")
        first, last = int(asked[1]), min(int(asked[2]), len(whole) - 1)
        span = f"bytes {first}-{last}/{len(whole)}"
        return self.send(whole[first : last + 1], "image/tiff", 206, Content_Range=span)

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        query = json.loads(self.rfile.read(size))
        self.server.asked.append(query)
        found, start = self.server.found(query), int(query.get("token", 0))
        answer = {"type": "FeatureCollection", "features": found[start : start + PAGE], "links": []}
        if start + PAGE < len(found):
            body = {**query, "token": str(start + PAGE)}
            answer["links"] = [{"rel": "next", "href": f"{self.server.url}/search",
                                "method": "POST", "body": body}]  # fmt: skip
        self.send(json.dumps(answer).encode(), "application/geo+json")


@pytest.fixture(scope="module")
def made(sample, tmp_path_factory) -> tuple[Path, Path]:
    """The folder of the items, and the scene of the plain series."""
    folder = tmp_path_factory.mktemp("api")
    write_items(sample, folder / "items", WINDOW)
    return folder / "items", plain_series(sample, folder / "plain", WINDOW)


@pytest.fixture
def api(made) -> Iterator[Api]:
    with Api(made[0]) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def search(api: Api, **changes: Any) -> Search:
    given = {"bbox": (11.0, 46.0, 12.0, 47.0), "datetime": "2022-06-01/2022-06-30T23:59:59Z"}
    return Search(api.url, ("sentinel-2-l2a",), **given | changes)


def test_items_that_are_found_are_read_like_the_files_that_they_were_made_from(made, api) -> None:
    _, plain = made
    ours, want = open_stack(plain, search(api)), open_stack(plain, plain.parent)
    assert ours.dates == want.dates, "on three pages"
    assert len(api.asked) == 3
    one, two = ours.read(WHOLE), want.read(WHOLE)
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_array_equal(one.valid, two.valid)


def test_what_the_user_leaves_open_is_taken_from_the_scene(made, api) -> None:
    open_stack(made[1], search(api, bbox=None, datetime=None))
    query = api.asked[0]
    assert query["datetime"] == "2022-04-11T00:00:00Z/2022-08-09T23:59:59Z"
    with rasterio.open(made[1]) as src:
        west, south, east, north = rasterio.warp.transform_bounds(src.crs, 4326, *src.bounds)
    np.testing.assert_allclose(query["bbox"], [west, south, east, north], atol=1e-4)


def test_a_scene_is_filled_from_a_search_from_the_shell(made, api, tmp_path) -> None:
    out = tmp_path / "filled.tif"
    done = CliRunner().invoke(
        main,
        ["inpaint", str(made[1]), "-o", str(out), "--method", "linear", "--stac", api.url,
         "--collections", "sentinel-2-l2a", "--bbox", "11,46,12,47",
         "--datetime", "2022-06-01/2022-06-30"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}\n"
    want = geot2t.inpaint(made[1], tmp_path / "x.tif", series=made[1].parent, method="linear")
    with rasterio.open(out) as one, rasterio.open(want.path) as two:
        np.testing.assert_array_equal(one.read(), two.read())
    links = json.loads(out.with_suffix(".json").read_text())["links"]
    assert sum(link["href"].startswith(f"{api.url}/collections/") for link in links) == 11


def test_an_address_that_the_user_typed_is_read_and_a_file_that_names_it_is_not(
    made, api, tmp_path
) -> None:
    typed = open_stack(made[1], f"{api.url}/items.json")
    assert len(typed.dates) == 12
    assert len(typed.files[0]) == 0
    api.fetched.clear()
    saved = tmp_path / "items.json"
    saved.write_text(json.dumps({"type": "FeatureCollection", "features": api.items}))
    with pytest.raises(InputError, match=r"is at http://127\.0\.0\.1.*pass --trust-items"):
        open_stack(made[1], saved)
    assert not api.fetched, "nothing was asked for"


def test_info_of_an_address_describes_what_is_there(api) -> None:
    address = f"{api.url}/collections/sentinel-2-l2a/items/S2_32TPS_{SCENE}"
    done = CliRunner().invoke(main, ["info", address])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == address
    assert f"date      {SCENE} (from STAC datetime)" in done.stdout
    assert "SCL SCL.tif, mask shade.tif" in done.stdout


def test_a_scene_at_an_address_is_filled_here(made, api, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    address = f"{api.url}/items.json"
    result = geot2t.inpaint(address, series=address, date=date.fromisoformat(SCENE),
                            method="linear", bands=("nir",))  # fmt: skip
    assert result.path == Path(f"S2_32TPS_{SCENE}_filled.tif")
    assert (tmp_path / result.path).exists()
    # A raster at an address is filled too, here without clouds: nothing lies beside it.
    raster = geot2t.inpaint(f"{api.url}/files/{SCENE}/B02.tif?key=1", method="linear", clouds="qa")
    assert raster.path == Path("B02_filled.tif")
    with rasterio.open(raster.path) as out, rasterio.open(made[0] / SCENE / "B02.tif") as src:
        np.testing.assert_array_equal(out.read(), src.read())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"datetime": "2012-06-01/2012-06-30"}, "has no item of sentinel-2-l2a for bbox"),
        ({"datetime": "soon"}, r"the STAC API http://127\.0\.0\.1"),
    ],
)
def test_a_search_that_finds_nothing_is_said(made, api, change, message) -> None:
    with pytest.raises(InputError, match=message):
        open_stack(made[1], search(api, **change))


def test_what_is_no_stac_api_is_said(made, api) -> None:
    with pytest.raises(InputError, match=r"/nowhere cannot be searched"):
        open_stack(made[1], Search(f"{api.url}/nowhere?token=secret", ("x",)))
    with pytest.raises(InputError, match="cannot be searched") as caught:
        open_stack(made[1], Search("http://127.0.0.1:9/?token=secret", ("x",)))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "collections", "message"),
    [
        ("x.org", ("a",), "has an address with http, got x.org"),
        ("http://x.org", (), "needs a coll"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused(url, collections, message) -> None:
    with pytest.raises(InputError, match=message):
        Search(url, collections)


def test_a_search_without_its_library_names_the_extra(made, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pystac_client", None)
    done = CliRunner().invoke(
        main, ["inpaint", str(made[1]), "--stac", "http://127.0.0.1:9", "--collections", "x"]
    )
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: a STAC search needs pystac_client: pip install 'geot2t[stac]'"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bbox", "1,2,3"], "give west,south,east,north in degrees"),
        (["--bbox", "11,47,12,46"], "south before north"),
        (["--collections", "a"], "go with --stac"),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(made, options, message) -> None:
    done = CliRunner().invoke(main, ["inpaint", str(made[1]), *options])
    assert done.exit_code == 2
    assert message in done.stderr
