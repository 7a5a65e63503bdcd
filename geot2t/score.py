"""How much each part of a scene looks like real ground: what `geot2t score` writes.

The critic is asked of windows that overlap by half. Each gives a score to every token of 16
pixels and one to itself; a pixel takes the mean of those it lies in, weighted towards the middle
of windows as in a fill, and in fact by the same loop: a map of scores is a raster of which
nothing was observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geot2t import __version__, pipeline
from geot2t.checkpoint import Model, load_model
from geot2t.errors import ModelError
from geot2t.fill import Block, Filler, Float, Prediction, Task, walk
from geot2t.generator import STRIDE
from geot2t.grid import Box
from geot2t.io.item import build_item
from geot2t.io.maps import Layer, open_maps
from geot2t.io.provenance import Provenance, provenance_beside
from geot2t.io.sink import metadata_of
from geot2t.io.stack import Stack, open_stack
from geot2t.model import pick_device
from geot2t.realism import SEEN, SIDE, attention, percentile, scores
from geot2t.stac import Item
from geot2t.stream import FROM_DATES, FROM_SURROUNDINGS, NOT_FILLED, OBSERVED, Progress

_ORIGIN = {
    OBSERVED: "observed",
    FROM_DATES: "predicted_from_dates",
    FROM_SURROUNDINGS: "predicted_from_surroundings",
}

_SCORE = Layer(
    "score",
    "Share of real ground, in per cent, that looks less real",
    ("token", "window"),
    (
        "percentile of the part of 16 pixels among those of real ground; low is suspicious",
        "percentile of the window of 128 pixels among those of real ground; low is suspicious",
    ),
)
_ATTENTION = Layer(
    "attention",
    "How much the critic looked at each part",
    ("attention",),
    ("attention given to the part of 16 pixels; 1 if to all of a window alike",),
    roles=("metadata",),
)


@dataclass(frozen=True, slots=True)
class Scored:
    """What `score` wrote and found."""

    path: Path
    """The map."""

    item: dict[str, Any]
    """The STAC Item, as written beside it."""

    warnings: tuple[str, ...]
    """What the user should know, one sentence each."""


class _Scene:
    """A scene alone, of whose scores nothing is known; a `geot2t.fill.Source`."""

    target = 0

    def __init__(self, stack: Stack, provenance: Provenance | None, bands: int) -> None:
        self._stack, self._provenance, self._bands = stack, provenance, bands
        self.extent = stack.extent

    def read(self, box: Box) -> Block:
        """Pixels of the scene, valid where they show or were given ground."""
        pixels, valid = self._stack.read_target(box)
        if self._provenance is not None:
            valid &= self._provenance.read(box) != NOT_FILLED
        return Block(pixels[None], valid[None], np.zeros(1, "float32"), box)

    def read_target(self, box: Box) -> tuple[Float, NDArray[np.bool_]]:
        """Scores: none is known."""
        shape = box.height, box.width
        return np.zeros((self._bands, *shape), "float32"), np.zeros(shape, bool)


class _Critic:
    """Maps of windows as `geot2t.fill.Predict` gives them.

    Each score is multiplied by 1 where there is one and by 0 elsewhere, and that factor comes
    with it, so that means of windows can be taken over those that have a score.
    """

    def __init__(self, model: Model, device: torch.device, *, attend: bool) -> None:
        self._critic, self._device, self._attend = model.critic.to(device), device, attend
        self.bands = 5 if attend else 4

    def __call__(
        self,
        pixels: Float,
        valid: NDArray[np.bool_],
        days: Float,  # noqa: ARG002  a critic knows of no date
        target: int,
    ) -> Prediction:
        """Scores of windows ``(n, 1, b, y, x)``."""
        images = torch.from_numpy(pixels[:, target]).to(self._device)
        known = torch.from_numpy(valid[:, target]).to(self._device).unsqueeze(1)
        where, whether, seen = scores(self._critic, images, known)
        judged = (seen >= SEEN).astype("float32")
        whole = (valid[:, target].mean((1, 2)) >= SEEN).astype("float32")[:, None, None]
        level = np.broadcast_to(whether[:, None, None], where.shape)
        maps = [where * judged, judged, level * whole, np.broadcast_to(whole, where.shape)]
        if self._attend:
            maps.append(attention(self._critic, images, known) * judged)
        tokens = np.stack(maps, 1)  # (n, c, h, w)
        y, x = pixels.shape[-2:]
        out = tokens.repeat(STRIDE, -2).repeat(STRIDE, -1)[..., :y, :x].astype("float32")
        return Prediction(out, np.zeros_like(out), np.zeros((len(out), y, x), "float32"))


@dataclass(slots=True)
class _Tally:
    """Sums over the scored pixels of one origin."""

    pixels: int = 0
    token: float = 0.0
    window: float = 0.0
    below_1: int = 0
    below_5: int = 0

    def add(self, token: Float, window: Float) -> None:
        """Count pixels with their percentiles."""
        self.pixels += token.size
        self.token += float(token.sum(dtype="float64"))
        self.window += float(np.nansum(window, dtype="float64"))
        self.below_1 += int((token < 1).sum())
        self.below_5 += int((token < 5).sum())

    @property
    def said(self) -> dict[str, float]:
        """What the item says of them."""
        return {
            "pixels": self.pixels,
            "mean_percentile": self.token / self.pixels,
            "mean_window_percentile": self.window / self.pixels,
            "share_below_1": self.below_1 / self.pixels,
            "share_below_5": self.below_5 / self.pixels,
        }


@dataclass(frozen=True, slots=True)
class _Read:
    task: Task
    valid: NDArray[np.bool_]  # (y, x)
    origin: NDArray[np.uint8]  # (y, x), provenance


class _Stages:
    """The stages between a scene and its map; see `geot2t.pipeline.overlap`."""

    def __init__(
        self, stack: Stack, origin: Provenance | None, critic: _Critic, judge: Model, batch: int
    ) -> None:
        self._stack, self._origin, self._attend = stack, origin, critic.bands > 4
        self._reference = judge.card["realism"]
        self._filler = Filler(
            _Scene(stack, origin, critic.bands), critic, size=SIDE, overlap=SIDE // 2,
            batch=batch, bands=critic.bands,
        )  # fmt: skip
        self.tallies = {key: _Tally() for key in _ORIGIN}

    def read(self, box: Box) -> _Read:
        """Read a box, where it holds ground, and whose it is."""
        _, valid = self._stack.read_target(box)
        origin = np.full(valid.shape, OBSERVED, "uint8")
        if self._origin is not None:
            origin = self._origin.read(box)
            valid &= origin != NOT_FILLED
        return _Read(self._filler.read(box), valid, origin)

    def compute(self, read: _Read) -> tuple[Box, dict[str, Float]]:
        """Score what was read."""
        found = self._filler.compute(read.task).pixels
        found[:, ~read.valid] = np.nan
        with np.errstate(invalid="ignore", divide="ignore"):
            token = percentile(found[0] / found[1], self._reference["token"])
            window = percentile(found[2] / found[3], self._reference["window"])
            values = {"score": np.stack([token, window])}
            if self._attend:
                values["attention"] = found[4:] / found[1]
        for key, tally in self.tallies.items():
            here = (read.origin == key) & np.isfinite(token)
            tally.add(token[here], window[here])
        return read.task.box, values


def score(
    scene: str | Path | Item,
    out: str | Path | None = None,
    *,
    attend: bool = False,
    clouds: str = "auto",
    cloud_mask: str | Path | None = None,
    date: date | None = None,
    model: str | Path | None = None,
    device: str = "auto",
    batch: int = 4,
    bands: Sequence[str] = (),
    trust_items: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Scored:
    """Map how much a scene looks like real ground.

    Parameters
    ----------
    scene : str, Path or Item
        As for `geot2t.inpaint`. Pixels that were not observed are not scored, but those that
        geot2t has predicted are: a quality raster beside the scene says which they are.
    out : str or Path, optional
        The map, float32, by default ``SCENE_score.tif`` beside the scene: per cent of real
        ground that looks less real, by parts of 16 pixels (band ``token``) and by windows of
        128 (band ``window``), both brought to the scene's grid by overlapping windows; NaN
        where too little was observed. An item is written beside it.
    attend : bool
        Also write ``OUT_attention.tif``: what the critic looked at.
    clouds, cloud_mask, date, bands, trust_items
        As for `geot2t.inpaint`.
    model : str or Path, optional
        A shipped model's name, or a ``.safetensors`` file with a critic that was taught.
    device : str
        auto, cpu, cuda or cuda:N.
    batch : int
        Windows at once.
    overwrite : bool
        Replace outputs of an earlier run.
    progress : callable, optional
        Called with pixels done and pixels in all.

    Raises
    ------
    Geot2tError
        If an input, the model or the output cannot be used.
    """
    begun = datetime.now(UTC)
    chosen, judge = pick_device(device), load_model(model)
    if "realism" not in judge.card:
        raise ModelError(
            f"the critic of {judge.name} was never compared with real ground; teach it with "
            "geot2t train --only critic, or leave --model out"
        )
    with open_stack(
        scene, clouds=clouds, cloud_mask=cloud_mask, date=date, bands=bands, trust_items=trust_items
    ) as stack:
        default = stack.default_output
        name = default.name.removesuffix("_filled.tif")
        path = default.with_name(f"{name}_score.tif") if out is None else Path(out)
        meta = stack.metadata or metadata_of(stack.paths[stack.target])
        layers = [_SCORE, _ATTENTION] if attend else [_SCORE]
        inputs = [file for files in stack.files for file in files]
        origin = None
        if stack.metadata is None:
            origin = provenance_beside(stack.paths[stack.target], stack.extent)
        if origin is not None:
            inputs.append(origin.path)
        stages = _Stages(stack, origin, _Critic(judge, chosen, attend=attend), judge, batch)
        done, total = 0, stack.extent.height * stack.extent.width
        with (
            closing(origin) if origin else nullcontext(),
            open_maps(
                path, meta, layers, may_have=("attention",), inputs=inputs, overwrite=overwrite
            ) as maps,
        ):

            def write(block: tuple[Box, dict[str, Float]]) -> None:
                nonlocal done
                maps.write(*block)
                done += block[0].height * block[0].width
                if progress is not None:
                    progress(done, total)

            pipeline.overlap(walk(stack.extent, *maps.block), stages.read, stages.compute, write)
            said = {
                _ORIGIN[key]: tally.said for key, tally in stages.tallies.items() if tally.pixels
            }
            scored = sum(tally.pixels for tally in stages.tallies.values())
            item = build_item(
                meta,
                maps.rasters,
                when=stack.dates[stack.target],
                processed=begun.isoformat(),
                version=__version__,
                sources=dict.fromkeys(inputs),
                items=stack.items,
                assets={layer.key: layer.asset() for layer in layers},
                lineage="A critic compared the scene with real ground, part by part.",
                properties={
                    "geot2t:model": {
                        "name": judge.name, "sha256": judge.sha256, "device": str(chosen),
                    },
                    "geot2t:options": {"clouds": clouds, "window": SIDE, "batch": batch},
                    "geot2t:observed_from": list(stack.validity[stack.target]),
                    "geot2t:not_scored": 1 - scored / total,
                    "geot2t:realism": said,
                },
            )  # fmt: skip
            warnings = list(dict.fromkeys(stack.notes))
            if not scored:
                warnings.append("nothing was scored: too little of the scene was observed")
            return Scored(maps.paths.main, maps.commit(item, overwrite=overwrite), tuple(warnings))
