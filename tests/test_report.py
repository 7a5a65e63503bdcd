"""The report: whole or absent, alone in the world, and true to figures that a real run made."""

from __future__ import annotations

import base64
import copy
import dataclasses
import re
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from geot2t.baselines import METHODS
from geot2t.clouds import CloudShapes
from geot2t.errors import InputError, OutputError
from geot2t.io import picture
from geot2t.prior import estimate_prior
from geot2t.report import Picture, write_report
from geot2t.report.scores import bucket_label, decimals, written
from geot2t.report.style import shown
from geot2t.report.verdict import asides, better, verdict

CASES = 6
NAMES = [*METHODS, "prior"]
Z = np.log(10)  # half-width of the 90 % interval over the mean error, if errors are Laplacian
EVIL = "</title><script>alert('x')</script>$a_b$"


def resampled(values: list[float]) -> dict[str, float]:
    """Mean, median, and the 95 % interval of the mean over resampled cases."""
    v = np.array(values)
    draws = np.random.default_rng(0).choice(v, (500, len(v))).mean(1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return {"mean": v.mean(), "median": np.median(v), "low": low, "high": high}


def predictions(pixels, valid, days, target):
    for name, method in METHODS.items():
        yield name, method(pixels, valid, days, target)
    yield "prior", estimate_prior(*map(torch.from_numpy, (pixels, valid, days)), target)


def scores_of(off, half, truth, filled) -> dict[str, float | None]:
    mse = float(np.square(off).mean())
    red, nir = truth[[2, 3]], filled[[2, 3]]
    index = [(a[1] - a[0]) / np.maximum(a[1] + a[0], 1) for a in (red, nir)]
    return {
        "mae": float(np.abs(off).mean()), "rmse": mse**0.5, "bias": float(off.mean()),
        "psnr": float(10 * np.log10(1e8 / mse)), "ssim": None, "sam": None, "ergas": None,
        "ndvi": float(np.abs(index[0] - index[1]).mean()), "nbr": None, "seam": None,
        "texture": None, "coverage": float((np.abs(off) <= half).mean()),
        "width": float(half.mean()),
    }  # fmt: skip


@pytest.fixture(scope="session")
def evaluated(sample) -> tuple[dict[str, Any], list[Picture]]:
    """The sample's dates with real cloud shapes on them, filled by the baselines and the prior."""
    paths = sorted(p for p in sample.glob("*.tif") if p.stem.count("_") == 0)
    cut = np.s_[:, 64:192, 64:192]
    pixels = np.stack([rasterio.open(p).read()[cut] for p in paths]).astype("float32")
    with rasterio.open(paths[0]) as src:
        bands = [d or f"band {i}" for i, d in enumerate(src.descriptions, 1)]
    valid = (pixels > 0).all(1)
    for i, path in enumerate(paths):
        scl = rasterio.open(path.with_name(f"{path.stem}_SCL.tif")).read(1)
        scl = np.kron(scl, np.ones((256 // scl.shape[0],) * 2, dtype="uint8"))[cut[1:]]
        valid[i] &= np.isin(scl, (4, 5, 6, 7, 11))
    days = np.array([int(p.stem[-2:]) for p in paths], dtype="float32")
    clear = [i for i in range(len(paths)) if valid[i].mean() > 0.9]
    rng, shapes = np.random.default_rng(0), CloudShapes.load()
    cases, pictures, buckets, curves = [], [], {n: [] for n in NAMES}, {n: [] for n in NAMES}
    for number in range(CASES):
        target = clear[number % len(clear)]
        cloud = shapes.sample(rng, 128, 128, share=(0.1, 0.4))
        seen = valid.copy()
        seen[target] &= ~cloud
        scored = cloud & valid[target]
        truth = pixels[target]
        shown = {}
        case: dict[str, Any] = {
            "id": number, "kind": "cloud", "date": paths[target].stem, "gap": float(cloud.mean()),
            "cloud": "library", "pixels": int(scored.sum()), "scores": {}, "by_band": {},
        }  # fmt: skip
        for name, out in predictions(pixels[None], seen[None], days, target):
            mean, scale = (np.asarray(a)[0] for a in (out.mean, out.scale))
            off, half = (mean - truth)[:, scored], Z * scale[:, scored]
            case["scores"][name] = scores_of(off, half, truth[:, scored], mean[:, scored])
            case["by_band"][name] = [
                {"band": b, "mae": float(np.abs(o).mean()), "rmse": None, "bias": float(o.mean()),
                 "coverage": None, "width": None}
                for b, o in zip(bands, off, strict=True)
            ]  # fmt: skip
            buckets[name].append((np.abs(off), half))
            curves[name].append(np.abs(off) / scale[:, scored])
            shown[name] = coloured(np.where(cloud, mean, truth), truth)
        cases.append(case)
        if number < 2:
            before = np.where(cloud[..., None], np.uint8(255), coloured(truth, truth))
            pictures.append(Picture(number, case["date"], before, coloured(truth, truth), shown))
    return results_of(cases, bands, buckets, curves), pictures


def coloured(pixels, like):
    low, high = np.percentile(like[[2, 1, 0]], (1, 99), axis=(1, 2))[..., None, None]
    shown = np.clip((pixels[[2, 1, 0]] - low) / (high - low), 0, 1)
    return np.moveaxis((255 * shown).astype("uint8"), 0, -1)


def results_of(cases, bands, buckets, curves) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for name in NAMES:
        columns = {k: [c["scores"][name][k] for c in cases] for k in cases[0]["scores"][name]}
        summary[name] = {k: resampled(v) if None not in v else None for k, v in columns.items()}
        for other in ("linear", "prior"):
            ratios = [c["scores"][name]["mae"] / c["scores"][other]["mae"] for c in cases]
            summary[name][f"to_{other}"] = resampled(ratios)
        mine = [c["scores"][name]["mae"] for c in cases]
        least = [min(s["mae"] for s in c["scores"].values()) for c in cases]
        summary[name]["wins"] = np.mean([a == b for a, b in zip(mine, least, strict=True)])
    levels = [0.5, 0.68, 0.8, 0.9, 0.95]
    by = []
    for low, high in ((0, 2000), (2000, 4000), (4000, None)):
        inside = [i for i, c in enumerate(cases) if low <= c["pixels"] < (high or 1e9)]
        methods = {n: bucket([buckets[n][i] for i in inside]) for n in NAMES}
        count = sum(cases[i]["pixels"] for i in inside)
        by.append({"from": low, "to": high, "pixels": count, "methods": methods})
    ratios = {n: np.concatenate([c.ravel() for c in curves[n]]) for n in NAMES}
    return {
        "format": "geot2t-evaluation/1", "version": "0.1.0", "series": "South Tyrol, June 2022",
        "bands": bands, "unit": "reflectance x 10 000", "methods": NAMES, "seed": 0,
        "options": {"gaps": "real", "against": "all", "share": [0.1, 0.4]}, "cases": cases,
        "summary": {"cloud": summary},
        "by": {"gap_px": by, "distance_px": [], "days": None},
        "calibration": {
            n: {"nominal": levels,
                "measured": [float((r <= -np.log(1 - level)).mean()) for level in levels]}
            for n, r in ratios.items()
        },
    }  # fmt: skip


def bucket(pairs) -> dict[str, float | None]:
    if not pairs:
        return {"mae": None, "coverage": None, "width": None}
    off, half = (np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1))
    return {"mae": float(off.mean()), "coverage": float((off <= half).mean()),
            "width": float(half.mean())}  # fmt: skip


class Page(HTMLParser):
    """Every tag with its attributes, and the text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def page_of(results, pictures, folder) -> tuple[str, Page]:
    text = write_report(results, pictures, folder).read_text("utf-8")
    return text, Page(text)


def test_the_page_is_alone_in_the_world(evaluated, tmp_path):
    text, page = page_of(*evaluated, tmp_path)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?://|url\(|@import|\bfetch\(", text)
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert not [a for _, a in page.tags if "style" in a or any(k.startswith("on") for k in a)]


def test_every_picture_says_what_it_shows_and_every_control_has_a_name(evaluated, tmp_path):
    text, page = page_of(*evaluated, tmp_path)
    images = [a for tag, a in page.tags if tag == "img"]
    assert len(images) >= 4 + 2 * (2 + len(NAMES))
    assert all(len(a["alt"]) > 8 for a in images)
    assert len(re.findall(r"<label>(?:Left|Right) <select|<label><input", text)) == 2 * (2 + 3)
    assert all(a["aria-label"] for tag, a in page.tags if a.get("type") == "range")


def test_the_figures_are_in_the_page_and_beside_it(evaluated, tmp_path):
    text, _ = page_of(*evaluated, tmp_path)
    files = sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert files == ["by_band.svg", "by_gap_px.svg", "calibration.svg", "ratio_to_linear.svg"]
    for name in files:
        data = (tmp_path / "figures" / name).read_bytes()
        assert base64.b64encode(data).decode() in text


def test_equal_input_gives_equal_bytes(evaluated, tmp_path):
    one, two = (write_report(*evaluated, tmp_path / name).read_bytes() for name in "ab")
    assert one == two
    again = [(tmp_path / n / "figures" / "by_band.svg").read_bytes() for n in "ab"]
    assert again[0] == again[1]


def test_drawing_leaves_matplotlib_as_it_was(evaluated, tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    write_report(*evaluated, tmp_path)
    assert dict(mpl.rcParams) == before


def test_the_numbers_are_those_of_the_results(evaluated, tmp_path):
    results, pictures = evaluated
    _, page = page_of(results, pictures, tmp_path)
    words = " ".join(page.words)
    for name in NAMES:
        mean = results["summary"]["cloud"][name]["mae"]["mean"]
        assert f"{mean:.{decimals([500])}f}" in words or f"{mean:.1f}" in words
    for case in results["cases"]:
        assert f"{case['pixels']}" in words


def test_text_from_outside_is_escaped_everywhere(evaluated, tmp_path):
    results, pictures = copy.deepcopy(evaluated)
    results["series"] = results["unit"] = results["bands"][0] = results["version"] = EVIL
    results["options"] = {EVIL: EVIL, "more": {EVIL: [EVIL]}}
    results["methods"] = [*NAMES[:-1], EVIL]
    results["summary"][EVIL] = results["summary"]["cloud"]
    for kind in results["summary"].values():
        kind[EVIL] = kind.get("prior")
    results["calibration"][EVIL] = results["calibration"]["prior"]
    for row in results["by"]["gap_px"]:
        row["methods"][EVIL] = row["methods"]["prior"]
    for case in results["cases"]:
        case["cloud"] = case["date"] = case["kind"] = EVIL
        case["scores"][EVIL] = case["scores"]["prior"]
        case["by_band"][EVIL] = [{"band": EVIL, "mae": 3.0}]
    p = pictures[0]
    evil = Picture(0, EVIL, p.scene, p.truth, {EVIL: p.truth})
    text, page = page_of(results, [evil], tmp_path)
    assert "<script>alert" not in text
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert [tag for tag, _ in page.tags].count("title") == 1
    for file in (tmp_path / "figures").iterdir():
        assert "<script>" not in file.read_text()


def test_null_scores_are_dashes_not_numbers(evaluated, tmp_path):
    results, pictures = copy.deepcopy(evaluated)
    results["summary"]["cloud"]["linear"] = dict.fromkeys(results["summary"]["cloud"]["linear"])
    results["cases"][0]["scores"]["prior"] = {"mae": None, "rmse": float("nan")}
    results["cases"][1]["scores"] = {}
    results["calibration"]["prior"]["measured"][1] = None
    _, page = page_of(results, pictures, tmp_path)
    words = " ".join(page.words)
    assert "–" in words  # noqa: RUF001
    assert not re.search(r"\bnan\b|\bNone\b|\bnull\b", words)


def test_nothing_but_nulls_still_makes_a_page(tmp_path):
    empty = {"format": "geot2t-evaluation/1", "methods": [], "cases": [], "summary": {}}
    _, page = page_of(empty, [], tmp_path)
    assert "nothing to compare" in " ".join(page.words)


def test_one_method_alone(evaluated, tmp_path):
    results = {**evaluated[0], "methods": ["linear"]}
    _, page = page_of(results, [], tmp_path)
    words = " ".join(page.words)
    assert "the only method that was measured" in words
    assert "No pictures were kept" in words
    assert "told apart from" not in verdict(results)


def test_without_matplotlib_the_page_says_what_is_missing(evaluated, tmp_path, monkeypatch):
    write_report(*evaluated, tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    _, page = page_of(*evaluated, tmp_path)
    assert "pip install 'geot2t[plot]'" in " ".join(page.words)
    assert not list((tmp_path / "figures").iterdir())


def test_a_failure_leaves_the_old_page_or_none(evaluated, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geot2t.io.publish.os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_report(*evaluated, tmp_path / "new")
    assert not [p for p in (tmp_path / "new").rglob("*") if p.is_file()]
    monkeypatch.undo()
    old = write_report(*evaluated, tmp_path / "old").read_bytes()
    monkeypatch.setattr("geot2t.io.publish.os.fsync", full)
    with pytest.raises(OutputError):
        write_report({**evaluated[0], "series": "other"}, [], tmp_path / "old")
    assert (tmp_path / "old" / "report.html").read_bytes() == old


def test_a_folder_that_is_a_file_is_one_line(evaluated, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_report(*evaluated, tmp_path / "file")


def test_other_results_are_refused(tmp_path):
    with pytest.raises(InputError, match="geot2t-evaluation/1"):
        write_report({"format": "other"}, [], tmp_path)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4), "uint8"),
                                   np.zeros((4, 5, 3), "uint8")])  # fmt: skip
def test_pictures_of_another_shape_are_refused(wrong):
    right = np.zeros((4, 4, 3), dtype="uint8")
    with pytest.raises(InputError):
        Picture(0, "", right, right, {"linear": wrong})


def simple(ratio: dict[str, float], cases: int = 9) -> dict[str, Any]:
    """Two methods, prior the better in the mean, with a paired interval."""
    return {
        "methods": ["prior", "network"], "cases": [{"kind": "cloud"}] * cases,
        "summary": {"cloud": {
            "prior": {"mae": {"mean": 50.0, "low": 40.0, "high": 60.0}},
            "network": {"mae": {"mean": 51.0, "low": 41.0, "high": 61.0}, "to_prior": ratio},
        }},
    }  # fmt: skip


def test_overlapping_intervals_are_not_told_apart():
    sure = simple({"mean": 1.02, "low": 1.01, "high": 1.03})
    assert better(sure, "cloud", "prior", "network")
    assert not better(sure, "cloud", "network", "prior")
    assert "errs less than network" in verdict(sure)
    unsure = simple({"mean": 1.02, "low": 0.99, "high": 1.05})
    assert "cannot be told apart from network" in verdict(unsure)
    only_errors = simple({})
    assert "cannot be told apart from network" in verdict(only_errors)
    one = simple({"mean": 1.02, "low": 1.01, "high": 1.03}, cases=1)
    assert "One case cannot tell" in verdict(one)


def test_of_many_methods_the_best_are_drawn_and_the_others_counted():
    names = ["prior", "median", "next", "network", "a", "b", "c", "linear"]
    summary = {
        m: {"mae": {"mean": 50.0 + i, "low": 49.0 + i, "high": 51.0 + i},
            "to_prior": {"mean": 1.5, "low": 1.4, "high": 1.6}}
        for i, m in enumerate(names)
    }  # fmt: skip
    results = {"methods": names, "cases": [{"kind": "cloud"}] * 9, "summary": {"cloud": summary}}
    assert shown(results) == ["prior", "median", "next", "network", "a", "linear"]
    assert "It errs less than 7 of the others, by more than chance explains" in verdict(results)
    (said,) = asides(results)
    assert said.startswith("All this holds")
    two = asides({**results, "summary": {"cloud": summary, "last": summary}})
    assert two[0] == "With the last date hidden whole (0 cases), prior errs least."


def test_shares_of_wins_are_in_percent_even_if_one_method_wins_all(evaluated, tmp_path):
    results = copy.deepcopy(evaluated[0])
    for i, name in enumerate(NAMES):
        results["summary"]["cloud"][name]["wins"] = float(i == 0)
    _, page = page_of(results, [], tmp_path)
    words = [w.strip() for w in page.words]
    assert words.count("100\N{NO-BREAK SPACE}%") == 1
    assert words.count("0\N{NO-BREAK SPACE}%") == len(NAMES) - 1


def test_a_date_that_is_hidden_whole_begins_with_its_truth(evaluated, tmp_path):
    results, pictures = evaluated
    whole = dataclasses.replace(pictures[0], scene=np.full_like(pictures[0].scene, 255))
    for picture_, left in ((pictures[0], "0"), (whole, "1")):
        _, page = page_of(results, [picture_], tmp_path)
        (swipe,) = [a for _, a in page.tags if a.get("class") == "swipe"]
        assert swipe["data-left"] == left


def test_numbers_for_people():
    assert written(None, 2) == "–"  # noqa: RUF001
    assert written(-1.25, 1) == "\N{MINUS SIGN}1.2"
    assert written(0.9, 1, percent=True) == "90.0\N{NO-BREAK SPACE}%"
    assert [decimals([v]) for v in (5523.0, 55.23, 0.05523, 0)] == [0, 1, 4, 0]
    assert [decimals(v) for v in ([35.2, 368.1], [0.3, 368.1], [0, 368.1])] == [1, 1, 0]
    assert bucket_label({"from": 1000, "to": None}) == "> 1k"
    assert bucket_label({"from": 2, "to": 2}) == "2"


def test_png_keeps_every_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype("uint8")
    with rasterio.MemoryFile(picture.png(pixels)) as memory, memory.open() as src:
        np.testing.assert_array_equal(np.moveaxis(src.read(), 0, -1), pixels)
