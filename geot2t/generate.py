"""Scenes drawn from noise, a date and a class, or a scene moved to another time of the year.

Nothing is observed in any of them. Levels and textures come from the library of `geot2t.ground`,
and a generator that was taught to refines them (`geot2t.refine`); of several draws the critic keeps
the one that looks most like real ground (as in Azadi et al. 2019, "Discriminator rejection
sampling", arXiv:1810.06758, but the best of a few instead of a quota).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t import __version__, pipeline
from geot2t.drawing import TRIES, WAYS, Draws, judge_of, taught
from geot2t.errors import InputError, OutputError
from geot2t.fill import Float, walk
from geot2t.grid import Box, blocks
from geot2t.ground import ANY, Ground, Kind, Look, look, turn_of
from geot2t.io.encode import encode
from geot2t.io.item import build_item
from geot2t.io.maps import Layer, Maps, open_maps
from geot2t.io.metadata import RasterMeta, drawn_metadata
from geot2t.io.place import Grid, degrees
from geot2t.io.sink import metadata_of
from geot2t.io.stack import Stack, open_stack
from geot2t.realism import SIDE, Judge

MOST = 4096
"""Greatest side of a draw in pixels; a draw is held in memory."""

BANDS: dict[str, float] = {
    "B02": 0.492, "B03": 0.560, "B04": 0.665, "B05": 0.704, "B06": 0.740, "B07": 0.781,
    "B08": 0.833, "B8A": 0.865, "B11": 1.612, "B12": 2.194,
}  # fmt: skip
"""Bands of a draw that is like no scene: those of Sentinel-2 that show the ground."""

_LOOKED_AT = 64
"""Windows by which a scene's own look is learnt."""

_NOTHING = "Nothing in this raster was observed."


@dataclass(frozen=True, slots=True)
class Generated:
    """What `generate` wrote."""

    paths: tuple[Path, ...]
    """The rasters, in the order in which they were drawn."""

    items: tuple[dict[str, Any], ...]
    """Their STAC Items, as written beside them."""

    warnings: tuple[str, ...]
    """What the user should know, one sentence each."""


def generate(
    folder: str | Path,
    *,
    count: int = 1,
    day: date | None = None,
    kind: str | None = None,
    like: str | Path | None = None,
    size: int = 256,
    seed: int = 0,
    by: str | None = None,
    model: str | Path | None = None,
    judge: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Generated:
    """Draw scenes in which nothing was observed.

    Parameters
    ----------
    folder : str or Path
        Where ``draw_01.tif`` and so on go, each with its STAC Item. Made if its parent exists.
    count : int
        How many.
    day : date, optional
        Season of the draws. With ``like``: when else that scene is to be shown, as it is but for
        what the time of the year adds to each band; written as ``YYYY-MM-DD.tif``.
    kind : str, optional
        Class of ground, such as ``annual-crop``.
    like : str or Path, optional
        A scene whose bands, type, grid and look the draws have.
    size : int
        Side in pixels of draws that are like no scene.
    seed : int
        Of all draws; each draw depends on the seed and its number alone.
    by : str, optional
        ``network``: the generator of ``model`` refines what is drawn from statistics;
        ``statistics``: it does not. By default the former where a model is given, else the latter.
    model : str or Path, optional
        Model that was taught to draw, and the library that it was taught with. By default the
        ones that ship.
    judge : str or Path, optional
        Model whose critic chooses among draws. By default the one that fills.
    device : str
        auto, cpu, cuda or cuda:N.
    overwrite : bool
        Replace outputs of an earlier run.
    progress : callable, optional
        Called with draws done and draws in all.

    Raises
    ------
    Geot2tError
        If an option, the scene or the folder cannot be used.
    """
    by = by or WAYS[model is not None]
    if by not in WAYS:
        raise InputError(f"draws are by {' or by '.join(WAYS)}, not by {by!r}")
    folder, moved = Path(folder), like is not None and day is not None
    ground, refiner = taught("statistics" if moved else by, model, device)
    ground.kind(kind)
    if not 1 <= size <= MOST:
        raise InputError(f"a draw is 1 to {MOST} px wide, got {size}")
    if moved and count > 1:
        raise InputError("a scene moved to another date has one outcome; leave --count out")
    begun = datetime.now(UTC)
    if like is None:
        wavelengths = np.array(list(BANDS.values()))
        draws = Draws(
            ground, kind, wavelengths, None if day is None else turn_of(day), seed, refiner
        )
        target = _Target(drawn_metadata(size, list(BANDS), day), wavelengths, None, day, begun)
        return _drawn(folder, draws, target, count, judge_of(judge, device), overwrite, progress)
    with open_stack(like) as stack:
        meta = stack.metadata or metadata_of(stack.paths[stack.target])
        if not np.isfinite(stack.wavelengths).all():
            raise InputError(
                f"{like} has bands of unknown wavelength, of which the library knows nothing; name "
                "them as its sensor does"
            )
        own_day = stack.dates[stack.target]
        if day is not None:
            target = _Target(meta, stack.wavelengths, stack, day, begun)
            return _moved(folder, ground, kind, target, own_day, overwrite, progress)
        if max(meta.height, meta.width) > MOST:
            raise InputError(f"{like} is larger than the {MOST} px that can be drawn; crop it")
        turn = None if own_day is None else _northern(turn_of(own_day), stack)
        own = Ground({ANY: _look_of(stack, ground, kind, turn)})
        draws = Draws(own, None, stack.wavelengths, turn, seed, refiner)
        target = _Target(meta, stack.wavelengths, stack, own_day, begun)
        return _drawn(folder, draws, target, count, judge_of(judge, device), overwrite, progress)


@dataclass(frozen=True, slots=True)
class _Target:
    """What is written, and when."""

    meta: RasterMeta
    wavelengths: Float
    stack: Stack | None
    day: date | None
    begun: datetime

    def layer(self) -> Layer:
        names = [band.description or f"band {i + 1}" for i, band in enumerate(self.meta.bands)]
        return Layer(
            "scene", "A scene that was drawn, not observed", names, [_NOTHING] * len(names),
            dtype=self.meta.dtype.name, nodata=self.meta.nodata, whole=True,
        )  # fmt: skip

    def stored(self, pixels: Float, valid: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Reflectances ``(b, y, x)`` as the file holds them, in all of its bands."""
        meta, data = self.meta, tuple(range(len(pixels)))
        if self.stack is None:
            values = pixels / 1e-4
        else:
            values, data = self.stack.to_file_units(pixels), self.stack.data_bands
        coded = encode(values, meta.dtype, meta.nodata, meta.bits)
        if valid is not None:
            coded[:, ~valid] = 0 if meta.nodata is None else meta.nodata
        out = np.full((len(meta.bands), *pixels.shape[1:]), 0, meta.dtype)
        for band in meta.alpha:
            out[band] = meta.opaque if valid is None else np.where(valid, meta.opaque, 0)
        out[list(data)] = coded
        return out

    def item(self, maps: Maps, layer: Layer, lineage: str, said: dict[str, Any]) -> dict[str, Any]:
        """Its STAC Item."""
        sources = () if self.stack is None else self.stack.files[self.stack.target]
        return build_item(
            self.meta,
            maps.rasters,
            when=self.day,
            processed=self.begun.isoformat(),
            version=__version__,
            sources=sources,
            assets={layer.key: layer.asset()},
            lineage=f"{_NOTHING} {lineage}",
            properties={"geot2t:observed": 0.0, **{f"geot2t:{k}": v for k, v in said.items()}},
        )


def _drawn(
    folder: Path,
    draws: Draws,
    target: _Target,
    count: int,
    judge: Judge,
    overwrite: bool,
    progress: Callable[[int, int], None] | None,
) -> Generated:
    meta, layer = target.meta, target.layer()
    _made(folder)
    paths, items = [], []
    inputs = () if target.stack is None else target.stack.files[target.stack.target]
    for number in range(1, count + 1):
        out = folder / f"draw_{number:02}.tif"
        with open_maps(out, meta, [layer], inputs=inputs, overwrite=overwrite) as maps:
            tries = draws.tries(number, (meta.height, meta.width))
            (_, level), drawn = max(((judge(t), t) for t in tries), key=lambda pair: pair[0][0])
            values = target.stored(drawn)
            for box in blocks(meta.extent, *maps.block):
                maps.write(box, {layer.key: np.ascontiguousarray(values[:, *box.slices])})
            said = {
                "class": draws.kind,
                "seed": draws.seed,
                "number": number,
                "tries": TRIES,
                "realism_percentile": level,
                **draws.said,
            }
            item = target.item(maps, layer, draws.lineage, said)
            items.append(maps.commit(item, overwrite=overwrite))
        paths.append(out)
        if progress is not None:
            progress(number, count)
    return Generated(tuple(paths), tuple(items), ())


def _moved(
    folder: Path,
    ground: Ground,
    kind: str | None,
    target: _Target,
    own_day: date | None,
    overwrite: bool,
    progress: Callable[[int, int], None] | None,
) -> Generated:
    stack, day = target.stack, target.day
    assert stack is not None  # noqa: S101  there is a scene to be moved
    assert day is not None  # noqa: S101  and a date to move it to
    if own_day is None:
        raise InputError(f"{stack.paths[stack.target]} has no date to be moved from")
    then, now = (
        ground.season(kind, stack.wavelengths, _northern(turn_of(d), stack)) for d in (own_day, day)
    )
    factor = np.exp(now - then)[:, None, None].astype("float32")
    layer, out = target.layer(), folder / f"{day.isoformat()}.tif"
    _made(folder)
    done, total = 0, stack.extent.height * stack.extent.width
    inputs = stack.files[stack.target]
    with open_maps(out, target.meta, [layer], inputs=inputs, overwrite=overwrite) as maps:

        def write(part: tuple[Box, NDArray[Any]]) -> None:
            nonlocal done
            maps.write(part[0], {layer.key: part[1]})
            done += part[0].height * part[0].width
            if progress is not None:
                progress(done, total)

        def compute(
            read: tuple[Box, tuple[Float, NDArray[np.bool_]]],
        ) -> tuple[Box, NDArray[Any]]:
            box, (pixels, valid) = read
            return box, target.stored(pixels * factor, valid)

        pipeline.overlap(
            walk(stack.extent, *maps.block),
            lambda box: (box, stack.read_target(box)),
            compute,
            write,
        )
        said = {
            "class": kind,
            "moved_from": own_day.isoformat(),
            "factors": [round(float(f), 4) for f in factor.ravel()],
        }
        lineage = "The scene was given the levels of another time of the year, band by band."
        item = maps.commit(target.item(maps, layer, lineage, said), overwrite=overwrite)
    return Generated((out,), (item,), tuple(dict.fromkeys(stack.notes)))


def _look_of(stack: Stack, ground: Ground, kind: str | None, turn: float | None) -> Kind:
    """The statistics of a scene's own windows, completed by those of the class."""
    looks: list[Look] = []
    for box in blocks(stack.extent, SIDE // 2, SIDE // 2):
        pixels, valid = stack.read_target(box)
        if valid.all() and min(box.height, box.width) >= SIDE // 4:
            one = look(pixels, stack.wavelengths, turn)
            looks += [] if one is None else [one]
        if len(looks) == _LOOKED_AT:
            break
    if len(looks) < 2:
        raise InputError(
            f"too little of {stack.paths[stack.target]} was observed to learn its look from; fill "
            "it first"
        )
    return ground.fitted(looks, kind)


def _northern(turn: float, stack: Stack) -> float:
    """The turn of the year as it would be in the north."""
    bounds = degrees(Grid.of(stack.header))
    south = bounds is not None and bounds[1] + bounds[3] < 0
    return (turn + 0.5) % 1 if south else turn


def _made(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is not a directory; choose another with -o")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror or error}") from error
