"""`geot2t score`: a map of how real a scene looks, on its grid, and what is said beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner, Result

from geot2t import score as scoring
from geot2t.checkpoint import Model, load_model, save_model
from geot2t.cli import main
from geot2t.critic import Critic, CriticConfig
from geot2t.errors import InputError
from geot2t.fill import Block, Filler
from geot2t.generator import Generator, GeneratorConfig
from geot2t.grid import Box
from geot2t.io.names import scenes_in
from geot2t.metrics import auroc
from geot2t.realism import attention, percentile, scores
from geot2t.score import score

SMALL = {"token_dim": 8, "embed_dim": 16, "depth": 1, "heads": 2}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


# -- what is written -------------------------------------------------------------------------------


def test_the_map_lies_where_the_scene_does(cloudy: Path, judge: Path) -> None:
    result = run("score", cloudy, "--model", judge, "--attention")
    assert result.exit_code == 0, result.stderr
    out = cloudy.with_name("2022-06-10_score.tif")
    assert result.stdout == f"{out}\n"
    beside = cloudy.with_name("2022-06-10_score_attention.tif")
    with rasterio.open(cloudy) as src, rasterio.open(out) as dst, rasterio.open(beside) as looked:
        for file in (dst, looked):
            assert (file.crs, file.transform, file.shape) == (src.crs, src.transform, src.shape)
        assert dst.descriptions == ("token", "window")
        assert dst.dtypes == ("float32", "float32")
        assert "percentile" in dst.tags(1)["MEANING"]
    assert scenes_in(cloudy.parent) == [cloudy]  # a map is no cloudy


def test_only_what_was_observed_is_scored(cloudy: Path, judge: Path) -> None:
    found = score(cloudy, model=judge)
    token, window = pixels(found.path)
    with scoring.open_stack(cloudy) as stack:
        _, valid = stack.read_target(stack.extent)
    assert np.isnan(token[~valid]).all()
    assert np.isfinite(token[valid]).mean() > 0.9
    for values in (token, window):
        known = values[np.isfinite(values)]
        assert ((known >= 0) & (known <= 100)).all()
    said = found.item["properties"]
    assert said["geot2t:not_scored"] == pytest.approx(np.isnan(token).mean())
    assert list(said["geot2t:realism"]) == ["observed"]
    mean = said["geot2t:realism"]["observed"]["mean_percentile"]
    assert mean == pytest.approx(np.nanmean(token), abs=1e-3)


def test_filled_pixels_are_scored_and_told_apart(cloudy: Path, judge: Path) -> None:
    filled = cloudy.with_name("filled.tif")
    assert run("inpaint", cloudy, "-o", filled, "--method", "fillnodata").exit_code == 0
    quality = filled.with_name("filled_quality.tif")
    with rasterio.open(quality, "r+") as file:
        provenance = file.read(1)
        provenance[:40, :40] = 0
        file.write(provenance, 1)
    found = score(filled, model=judge)
    token = pixels(found.path)[0]
    assert np.isnan(token[:40, :40]).all()
    said = found.item["properties"]["geot2t:realism"]
    assert set(said) == {"observed", "predicted_from_surroundings"}
    assert (
        said["predicted_from_surroundings"]["pixels"]
        == ((provenance == 3) & np.isfinite(token)).sum()
    )


def test_the_item_vouches_for_the_files(cloudy: Path, judge: Path) -> None:
    found = score(cloudy, model=judge, attend=True)
    assert run("verify", found.path).exit_code == 0
    item = json.loads(found.path.with_suffix(".json").read_text())
    assert set(item["assets"]) == {"score", "attention"}
    assert item["properties"]["datetime"] == "2022-06-10T00:00:00Z"
    assert not [p for p in cloudy.parent.iterdir() if "part" in p.name]


def test_an_existing_map_is_refused_before_any_work(cloudy: Path, judge: Path) -> None:
    out = cloudy.with_name("2022-06-10_score.json")
    out.write_text("mine")
    result = run("score", cloudy, "--model", judge)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {out} exists; pass --overwrite to replace it\n"
    assert out.read_text() == "mine"
    assert run("score", cloudy, "--model", judge, "--overwrite").exit_code == 0


def test_a_critic_that_knows_no_real_ground_is_refused(cloudy: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.safetensors"
    save_model(path, Model(Generator(GeneratorConfig(**SMALL)), Critic(CriticConfig(**SMALL))))
    result = run("score", cloudy, "--model", path)
    assert result.exit_code == 1
    assert "train --only critic" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_quality_raster_of_another_size_is_refused(cloudy: Path, judge: Path) -> None:
    with rasterio.open(
        cloudy.with_name("2022-06-10_quality.tif"), "w", driver="GTiff", width=8, height=8, count=1,
        dtype="uint8", transform=rasterio.Affine(10, 0, 0, 0, -10, 0),
    ) as file:  # fmt: skip
        file.write(np.ones((1, 8, 8), "uint8"))
        file.descriptions = ("provenance",)
    with pytest.raises(InputError, match="is 8x8, its scene"):
        score(cloudy, model=judge)


def test_the_critic_that_ships_finds_stripes_in_the_sample(sample: Path, tmp_path: Path) -> None:
    clear, striped = tmp_path / "2022-06-12.tif", tmp_path / "striped.tif"
    shutil.copy(sample / clear.name, clear)
    with rasterio.open(clear) as src:
        profile, values = src.profile, src.read()
        names, scales = src.descriptions, src.scales
    side = values.shape[2] // 2
    lines = np.random.default_rng(0).normal(0, 0.3, values.shape[1])
    change = lines[:, None] * values.std((1, 2), keepdims=True)
    values[:, :, side:] = (values + change).clip(1, 65535)[:, :, side:]
    with rasterio.open(striped, "w", **profile) as dst:
        dst.write(values)
        dst.descriptions, dst.scales = names, scales
    before, after = (pixels(score(p, clouds="none").path)[0] for p in (clear, striped))
    assert np.nanmean(before) > 30
    assert np.nanmean(after[:, side:]) < 5
    assert np.nanmean(after[:, : side // 2]) > np.nanmean(after[:, side:]) + 20


# -- how scores come about -------------------------------------------------------------------------


class Noise:
    """A scene of noise whose scores are unknown."""

    target, extent = 0, Box(0, 0, 200, 170)

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._pixels = rng.normal(size=(1, 2, 200, 170)).astype("float32")

    def read(self, box: Box) -> Block:
        valid = np.ones((1, box.height, box.width), bool)
        return Block(self._pixels[..., *box.slices], valid, np.zeros(1, "float32"), box)

    def read_target(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        shape = box.height, box.width
        return np.zeros((4, *shape), "float32"), np.zeros(shape, bool)


def test_scores_do_not_depend_on_how_the_scene_is_cut(judge: Path) -> None:
    critic = scoring._Critic(load_model(judge), torch.device("cpu"), attend=False)

    def filler() -> Filler:
        return Filler(Noise(), critic, size=64, overlap=32, bands=4)

    whole = filler().fill(Noise.extent).pixels
    pieces = np.zeros_like(whole)
    cut = filler()
    for row in range(0, 200, 80):
        box = Box(row, 0, min(80, 200 - row), 170)
        pieces[..., *box.slices] = cut.fill(box).pixels
    np.testing.assert_array_equal(pieces, whole)


def test_tokens_with_little_ground_have_no_weight(judge: Path) -> None:
    critic = scoring._Critic(load_model(judge), torch.device("cpu"), attend=False)
    valid = np.ones((1, 1, 64, 64), bool)
    valid[..., :32, :32] = False
    out = critic(np.zeros((1, 1, 1, 64, 64), "float32"), valid, np.zeros(1, "float32"), 0)
    judged = out.mean[0, 1]
    assert not judged[:32, :32].any()
    assert judged[32:].all()


def test_attention_is_shared_out_among_the_tokens(judge: Path) -> None:
    critic = load_model(judge).critic
    image = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    known = torch.ones(2, 1, 64, 48, dtype=torch.bool)
    looked = attention(critic, image, known)
    assert looked.shape == scores(critic, image, known)[0].shape == (2, 4, 3)
    np.testing.assert_allclose(looked.mean((1, 2)), 1, rtol=1e-5)


def test_an_architecture_without_attention_says_so() -> None:
    critic = Critic(CriticConfig(**SMALL, arch="unet"))
    known = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    with pytest.raises(InputError, match="unet has no attention"):
        attention(critic, torch.zeros(1, 1, 64, 64), known)


def test_percentiles_are_those_of_the_reference() -> None:
    reference = np.sort(np.random.default_rng(0).normal(size=101)).tolist()
    np.testing.assert_allclose(percentile(np.array(reference), reference), np.arange(101))
    assert percentile(np.array([-99.0, 99.0]), reference).tolist() == [0, 100]


def test_an_auroc_is_the_share_of_pairs_in_order() -> None:
    assert auroc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert auroc(np.array([0.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(0.375)
    assert auroc(np.ones(3), np.ones(4)) == 0.5
