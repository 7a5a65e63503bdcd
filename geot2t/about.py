"""What geot2t understands of a raster, a folder, STAC items, or a model: `geot2t info`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geot2t.errors import InputError
from geot2t.io.describe import describe
from geot2t.io.names import scenes_in
from geot2t.stac import is_stac, load_items
from geot2t.stac.mlm import ModelFacts
from geot2t.stac.mlm import model_item as describe_model


def about(
    path: str | Path,
    *,
    clouds: str = "auto",
    cloud_mask: str | Path | None = None,
    bands: Sequence[str] = (),
    trust_items: bool = False,
) -> dict[str, Any]:
    """Describe what lies at ``path``, in values that JSON can hold.

    Parameters
    ----------
    path : str or Path
        A raster, a folder of scenes, a STAC Item or ItemCollection, or a model
        (``.safetensors`` or its ``.json``).
    clouds, cloud_mask, bands, trust_items
        As for `geot2t.inpaint`; ``cloud_mask`` for a single raster only.

    Returns
    -------
    dict
        Of a raster or Item what `geot2t.io.describe` gives; of a folder or ItemCollection the
        same for each of its ``scenes``; of a model its name, checksum, parameters and card.

    Raises
    ------
    Geot2tError
        If there is nothing that can be described.
    """
    if _is_model(path):
        return _model(Path(path))
    options: dict[str, Any] = {"clouds": clouds, "bands": bands, "trust_items": trust_items}
    scenes: Sequence[Any]
    if is_stac(path):
        scenes = load_items(path, trusted=trust_items)
    else:
        scenes = scenes_in(Path(path)) if Path(path).is_dir() else [path]
    if not scenes:
        raise InputError(f"there is no scene (.tif, .jp2) in {path}")
    if len(scenes) == 1 and not Path(path).is_dir():
        return describe(scenes[0], cloud_mask=cloud_mask, **options)
    if cloud_mask is not None:
        raise InputError(f"a cloud mask belongs to one raster, and {path} holds {len(scenes)}")
    described = [describe(scene, **options) for scene in scenes]
    described.sort(key=lambda scene: scene["date"] or "")
    return {"path": str(path), "scenes": described}


def _is_model(path: str | Path) -> bool:
    """Whether a file is a model's; its JSON is told from an item's by what it says of itself."""
    suffix = Path(path).suffix
    if suffix != ".json" or "://" in str(path):
        return suffix == ".safetensors"
    try:
        said = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and "format" in said


def model_item(name: str | Path) -> dict[str, Any]:
    """Describe a model as a STAC Item of the MLM extension.

    Parameters
    ----------
    name : str or Path
        A ``.safetensors`` file, or the name of a model that ships.

    Raises
    ------
    InputError
        If it is a model that draws.
    ModelError
        If there is no such model, or it cannot be read.
    """
    from geot2t.checkpoint import SHIPPED, load_model, resolve  # imports torch: takes seconds

    path, model = resolve(name), load_model(name)
    if model.draws:
        raise InputError(f"{name} draws; the MLM extension is written for models that fill")
    return describe_model(
        ModelFacts(
            name=model.name,
            path=path,
            sha256=model.sha256,
            generator=asdict(model.generator.config),
            critic=asdict(model.critic.config),
            parameters=_parameters(model),
            card=model.card,
            licence="Apache-2.0" if path.parent == SHIPPED else None,
        )
    )


def _parameters(model: Any) -> dict[str, int]:
    parts = {"generator": model.generator, "critic": model.critic}
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def _model(path: Path) -> dict[str, Any]:
    from geot2t.checkpoint import load_model  # imports torch, which takes seconds

    model = load_model(path)
    return {
        "path": str(path),
        "name": model.name,
        "sha256": model.sha256,
        "parameters": _parameters(model),
        "generator": asdict(model.generator.config),
        "factors": model.factors,
        "card": model.card,
    }


def lines(known: dict[str, Any]) -> list[str]:
    """What `about` found, for people: a few lines for a raster, a table for a folder."""
    if "scenes" in known:
        scenes = known["scenes"]
        return [
            f"{known['path']}: {len(scenes)} scenes",
            *(
                f"  {s['date'] or 'no date':10}  {100 * s['gap']['total']:6.3g} % not observed  "
                f"{s['width']} x {s['height']} x {len(s['bands'])} {s['dtype']}  "
                f"{Path(s['path']).name}"
                for s in scenes
            ),
        ]
    if "bands" in known:
        return _raster_lines(known)
    card = dict(known.get("card", {}))
    if "ground" in card:
        card["ground"] = ", ".join(sorted(card["ground"]))
    return [f"{key}: {value}" for key, value in known.items() if key != "card"] + [
        f"card.{key}: {value}" for key, value in card.items()
    ]


def _raster_lines(known: dict[str, Any]) -> list[str]:
    metres = known["pixel_metres"]
    pixel = "" if metres is None else f", {metres:.4g} m pixels"
    dated = f" (from {known['date_from']})" if known["date"] else ""
    gap = known["gap"]
    found = [
        known["path"],
        f"  size      {known['width']} x {known['height']}, {known['dtype']}{pixel}",
        f"  crs       {known['crs'] or 'none'}",
        f"  date      {known['date'] or 'unknown'}{dated}",
        f"  scale     {'from ' + known['scale_from'] if known['scale_from'] else 'unknown'}",
        f"  observed  except where said by: {', '.join(known['validity']) or 'nothing'}",
        (
            f"  gap       {100 * gap['total']:.3g} % of the pixels "
            f"({100 * gap['cloud']:.3g} % cloud, {100 * gap['empty']:.3g} % no data)"
        ),
    ]
    for i, band in enumerate(known["bands"], 1):
        wavelength = band["wavelength_um"]
        where = "wavelength unknown" if wavelength is None else f"{1000 * wavelength:.0f} nm"
        nodata = band["nodata"]
        lacks = "" if nodata is None else f", nodata {_plain(nodata)}"
        scaled = (band["scale"], band["offset"]) != (1, 0)
        factor = f", value x {band['scale']:g} {band['offset']:+g}" if scaled else ""
        file = f", {Path(band['file']).name}" if "file" in band else ""
        found.append(f"  band {i:<4} {band['name'] or '(no name)'}: {where}{factor}{lacks}{file}")
    return [*found, *(f"  note      {note}" for note in known["notes"])]


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
