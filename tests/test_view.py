"""The report of a filled scene: whole, alone in the world, and opened without a server."""

from __future__ import annotations

import re
import shutil
import webbrowser
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from rasterio.io import MemoryFile

from geot2t import jobs
from geot2t.cli import main
from geot2t.errors import InputError
from geot2t.io.checksums import verify
from geot2t.io.thumbnail import thumbnail
from geot2t.report.layers import CLASSES, HIDDEN, layers
from geot2t.sensors import natural_colours
from geot2t.viewing import report_of

EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def scene(tmp_path: Path, sample: Path) -> Path:
    """Two dates of the sample, the first one cloudy."""
    for date in ("2022-06-10", "2022-06-12"):
        for file in sample.glob(f"{date}*.tif"):
            shutil.copy(file, tmp_path)
    return tmp_path / "2022-06-10.tif"


def filled(scene: Path, **options: Any) -> jobs.Result:
    return jobs.inpaint(
        scene,
        series=scene.parent,
        overwrite=True,
        **{"method": "linear", "report": True, **options},
    )


def page_of(result: jobs.Result) -> Path:
    return result.path.with_suffix(".html")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def pictures(page: Path) -> list[np.ndarray]:
    import base64

    out = []
    for kind, data in re.findall(
        r'<figure><img src="data:image/(\w+);base64,([^"]+)', page.read_text()
    ):
        assert kind in ("png", "jpeg")
        with MemoryFile(base64.b64decode(data)) as memory, memory.open() as file:
            out.append(np.moveaxis(file.read(), 0, -1))
    return out


def test_the_page_shows_before_after_error_and_provenance(scene: Path) -> None:
    result = filled(scene)
    page = Page(page_of(result).read_text())
    labels = [a["alt"] for tag, a in page.tags if tag == "img" and a["alt"]]
    assert [label.partition(", ")[2] for label in labels if label] == [
        "before", "after", "what was observed", "where each pixel comes from",
        "half-width of the 90 % interval",
    ]  # fmt: skip
    before, after, observed, provenance, error = pictures(page_of(result))
    with rasterio.open(result.path.with_name("2022-06-10_filled_quality.tif")) as file:
        gap = file.read(1) >= 2
    np.testing.assert_array_equal(before[~gap], after[~gap])
    assert (before != after)[gap].any(-1).mean() > 0.9
    assert (observed[gap] == HIDDEN).all()
    np.testing.assert_array_equal(provenance[gap][0], CLASSES[2][1])
    assert (error[gap] != error[~gap][0]).any(-1).all()


def test_the_page_says_what_the_item_says(scene: Path) -> None:
    result = filled(scene)
    text = " ".join(Page(page_of(result).read_text()).text.split())
    said = result.item["properties"]
    assert f"{100 * said['geot2t:gap_fraction']:.3g} % of the pixels were not observed" in text
    for band in said["geot2t:self_check"]["bands"]:
        assert band["band"] in text
        assert f"{100 * band['coverage']:.1f} %" in text
    assert "Nothing: every pixel was observed or filled." in text
    assert "2022-06-12" in text


def test_what_was_not_filled_is_shown_and_explained(scene: Path) -> None:
    result = filled(scene, max_error=1.0)
    text = Page(page_of(result).read_text()).text
    assert "% of the pixels. A pixel is left as it is where" in text
    assert "the 90 % interval is wider than 1 to either side" in text
    assert (pictures(page_of(result))[3] == CLASSES[0][1]).all(-1).any()


def test_the_page_asks_for_nothing_and_escapes_what_it_shows(scene: Path) -> None:
    with rasterio.open(scene, "r+") as file:
        file.set_band_description(2, EVIL)
    text = page_of(filled(scene)).read_text()
    assert EVIL not in text
    page = Page(text)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    asked = [v for _, a in page.tags for k, v in a.items() if k in ("src", "href", "srcset")]
    assert asked
    assert all(str(v).startswith("data:image/") for v in asked)
    assert not any("style" in a for _, a in page.tags)  # the policy would not let them


def test_the_page_belongs_to_the_outputs(scene: Path) -> None:
    result = filled(scene)
    assert result.item["assets"]["report"]["type"] == "text/html"
    assert all(v.ok for v in verify([result.path]))
    page_of(result).write_text("other")
    assert [v.path for v in verify([result.path]) if not v.ok] == [page_of(result)]
    with pytest.raises(InputError, match=r"\.html exists|exists; pass --overwrite"):
        jobs.inpaint(scene, method="linear")
    filled(scene, report=False)
    assert not page_of(result).exists()  # of an earlier run


def test_a_large_scene_makes_no_large_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(1, 3000, (3, 1500, 2100)).astype("uint16")  # noise: the worst there is
    values[:, 300:340, 300:340] = 0
    with rasterio.open(
        tmp_path / "large.tif", "w", driver="GTiff", count=3, height=1500, width=2100,
        dtype="uint16", nodata=0, crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5e6),
    ) as file:  # fmt: skip
        file.write(values)
    result = jobs.inpaint(tmp_path / "large.tif", method="fillnodata", clouds="none", report=True)
    page = page_of(result)
    assert page.stat().st_size < 3e6
    assert {p.shape for p in pictures(page)} == {(500, 700, 3)}
    assert "One pixel of 3 by 3 is shown." in page.read_text()


def test_a_thumbnail_holds_pixels_of_the_raster(scene: Path) -> None:
    small, step = thumbnail(scene, [0, 2], side=100)
    assert (small.shape, step) == ((2, 86, 86), 3)
    with rasterio.open(scene) as file:
        assert np.isin(small, file.read([1, 3])).all()


def test_bands_are_shown_in_their_colours() -> None:
    assert natural_colours([0.49, 0.56, 0.66, 0.84]) == [2, 1, 0]
    assert natural_colours([0.84, 0.66, 0.56, 0.49]) == [1, 2, 3]
    assert natural_colours([np.nan] * 4) == [2, 1, 0]
    assert natural_colours([np.nan]) == [0, 0, 0]


@pytest.mark.parametrize("value", [0, np.nan])
def test_nothing_but_gaps_can_be_shown(tmp_path: Path, value: float) -> None:
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=1, height=9, width=7, dtype="float32",
        nodata=0,
    ) as file:  # fmt: skip
        file.write(np.full((1, 9, 7), value, "float32"))
    result = jobs.inpaint(tmp_path / "a.tif", method="fillnodata", clouds="none", report=True)
    assert len(pictures(page_of(result))) == 4  # no error: nothing was predicted
    quality = result.path.with_name("a_filled_quality.tif")
    found = layers({"filled": result.path, "quality": quality}, None, [0, 0, 0], 0)
    assert found.before is None
    assert found.error is None


# geot2t view


def test_view_makes_the_same_page_as_inpaint(scene: Path) -> None:
    result = filled(scene)
    made = page_of(result).read_bytes()
    page_of(result).unlink()
    for name in ("", "_quality", "_error"):
        out = result.path.with_name(f"2022-06-10_filled{name}.tif")
        assert report_of(out) == page_of(result)
    assert report_of(result.path.with_suffix(".json")) == page_of(result)
    assert page_of(result).read_bytes() == made


def test_view_does_without_the_scene(scene: Path) -> None:
    result = filled(scene, report=False)
    scene.unlink()
    page = Page(report_of(result.path).read_text())
    labels = [a["alt"] for tag, a in page.tags if tag == "img" and a["alt"]]
    assert not any(str(label).endswith("before") for label in labels)


def test_view_opens_a_file_and_prints_its_path(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    result = filled(scene, report=False)
    shown = run("view", result.path)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout == f"{page_of(result)}\n"
    assert opened == [page_of(result).as_uri()]
    assert run("view", result.path, "--no-browser").stdout == shown.stdout
    assert len(opened) == 1


def test_view_says_if_no_browser_is_there(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    shown = run("view", filled(scene).path)
    assert shown.exit_code == 0
    assert "no browser was found" in shown.stderr


def test_view_opens_the_page_of_an_evaluation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="geot2t evaluate -o writes it"):
        report_of(tmp_path)
    (tmp_path / "report.html").write_text("x")
    assert report_of(tmp_path) == tmp_path / "report.html"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"properties": {}, "assets": {"filled": 1}}'])
def test_what_geot2t_did_not_write_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="is not an item that geot2t inpaint wrote"):
        report_of(tmp_path / "a.tif")
    with pytest.raises(InputError, match="beside it, which geot2t inpaint writes"):
        report_of(tmp_path / "b.tif")
