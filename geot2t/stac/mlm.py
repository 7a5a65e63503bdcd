"""A model as a STAC Item of the machine-learning model extension (MLM)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EXTENSIONS = [
    "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
]

_ARCHITECTURES = {
    "t2t": "Tokens-to-Token ViT",
    "vit": "Vision Transformer",
    "swin": "Swin Transformer",
    "unet": "U-Net",
}
"""By the names that checkpoints know them under."""

_ANY = -1
"""How MLM writes a side of any length."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the description of a model is made from."""

    name: str
    path: Path
    """Weights file; its ``.json`` stands beside it."""

    sha256: str
    """Of the weights file, in hexadecimal."""

    generator: Mapping[str, Any]
    """Configuration of the generator."""

    critic: Mapping[str, Any]
    """Configuration of the critic."""

    parameters: Mapping[str, int]
    """Numbers of parameters of both."""

    card: Mapping[str, Any]
    """Data and settings of the training."""

    licence: str | None
    """SPDX identifier; None where unknown."""


def model_item(facts: ModelFacts) -> dict[str, Any]:
    """Describe a model, in plain JSON values.

    The model takes any number of bands and dates, so no band is listed and those sides are
    open. It has no place and no date of its own: ``geometry`` is null, and the range of dates
    that STAC asks for is all there are.
    """
    arch = _ARCHITECTURES.get(str(facts.generator.get("arch")), str(facts.generator.get("arch")))
    told = facts.card.get("places")
    places = told.get("learnt_from", ()) if isinstance(told, Mapping) else ()
    properties: dict[str, Any] = {
        "title": f"{facts.name}: gaps of satellite image series, filled",
        "description": (
            "Corrects a regression of a date on the other dates where the ground was not "
            "observed, and says how far off it may be. Any bands, any dates, any sensor in "
            "reflected light. The network sees each window in units of its own spread."
        ),
        "datetime": None,
        "start_datetime": "1900-01-01T00:00:00Z",
        "end_datetime": "9999-12-31T23:59:59Z",
        "mlm:name": facts.name,
        "mlm:architecture": f"GAN of a {arch} generator and critic",
        "mlm:tasks": ["regression", "generative"],
        "mlm:framework": "PyTorch",
        "mlm:total_parameters": sum(facts.parameters.values()),
        "mlm:memory_size": 4 * sum(facts.parameters.values()),
        "mlm:pretrained": True,
        "mlm:batch_size_suggestion": 1,
        "mlm:accelerator_constrained": False,
        "mlm:hyperparameters": {
            "generator": dict(facts.generator),
            "critic": dict(facts.critic),
            **({"training": facts.card["settings"]} if "settings" in facts.card else {}),
        },
        "mlm:input": _inputs(),
        "mlm:output": _outputs(),
    }
    if facts.licence is not None:
        properties["license"] = facts.licence
    if places:
        beside = facts.path.with_suffix(".json").name
        properties["mlm:pretrained_source"] = f"{len(places)} places, listed in {beside}"
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": facts.name,
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": _assets(facts),
    }


def _inputs() -> list[dict[str, Any]]:
    window = ["height", "width"]
    return [
        _input(
            "pixels",
            ["batch", "time", "channel", *window],
            "float32",
            "Reflectance of all dates; anything where not observed.",
            value_scaling=[
                {
                    "type": "processing",
                    "format": "python",
                    "expression": "(pixels - mean(pixels)) / (std(pixels) + error(prior))",
                },
                {"type": "clip", "minimum": -6, "maximum": 6},
            ],
            pre_processing_function={"format": "python", "expression": "geot2t.model:evidence_of"},
        ),
        _input(
            "valid", ["batch", "time", *window], "uint8", "1 where the ground was observed, else 0."
        ),
        _input("days", ["time"], "float32", "Dates, in days since 1970-01-01."),
        _input(
            "wavelengths",
            ["channel"],
            "float32",
            "Of the bands, in micrometres; NaN where unknown.",
        ),
    ]


def _input(name: str, dims: list[str], dtype: str, description: str, **more: Any) -> dict[str, Any]:
    shape = {"shape": [_ANY] * len(dims), "dim_order": dims, "data_type": dtype}
    return {"name": name, "description": description, "bands": [], "input": shape, **more}


def _outputs() -> list[dict[str, Any]]:
    dims = ["batch", "channel", "height", "width"]
    shape = {"shape": [_ANY] * len(dims), "dim_order": dims, "data_type": "float32"}
    said = {
        "mean": "The date that is asked for, as if it had been observed everywhere; reflectance.",
        "scale": "Expected absolute error of the mean.",
    }
    tasks = ["regression", "generative"]
    return [
        {"name": name, "description": text, "tasks": tasks, "bands": [], "result": shape}
        for name, text in said.items()
    ]


def _assets(facts: ModelFacts) -> dict[str, Any]:
    return {
        "weights": {
            "href": facts.path.absolute().as_posix(),
            "type": "application/octet-stream",
            "title": "Weights of generator and critic",
            "roles": ["mlm:model", "mlm:weights"],
            "mlm:artifact_type": "safetensors.torch.save_file",
            # A multihash: function 12 is SHA-256, 20 its 32 bytes.
            "file:checksum": f"1220{facts.sha256}",
            "file:size": facts.path.stat().st_size,
        },
        "config": {
            "href": facts.path.with_suffix(".json").absolute().as_posix(),
            "type": "application/json",
            "title": "Configuration, and the card of the training",
            "roles": ["metadata"],
        },
    }
