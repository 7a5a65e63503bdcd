"""pystac's validator without a network: its own schemas of the core, and ours of extensions.

The schemas of the extensions were written for these tests, from their specifications, for
items: which fields there are, of what type, where they may stand, and that an extension which
is named is used. A field that an extension does not have is an error.
"""

from __future__ import annotations

from typing import Any

import pystac.validation
from pystac.validation.stac_validator import JsonSchemaSTACValidator

Schema = dict[str, Any]

URI = "https://stac-extensions.github.io/{}/schema.json"
NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
DATA_TYPES = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
DATA_TYPES += ["float16", "float32", "float64", "cint16", "cint32", "cfloat32", "cfloat64", "other"]


def listing(of: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": of, **more}


def record(required: list[str], **fields: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": fields}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def extension(version: str, fields: dict[str, Schema], **more: Any) -> Schema:
    """Schema of an extension whose ``fields`` may stand in properties, assets, bands and links."""
    uri = URI.format(version)
    prefix = next(iter(fields)).split(":")[0]
    known = {
        "type": "object",
        "properties": fields,
        "patternProperties": {f"^(?!{prefix}:)": True},
        "additionalProperties": False,
    }
    used = {"anyOf": [{"required": [name]} for name in fields]}
    with_bands = {"allOf": [known, {"properties": {"bands": listing(known)}}]}
    somewhere = {"anyOf": [used, {"required": ["bands"],
                                  "properties": {"bands": {"contains": used}}}]}  # fmt: skip
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": uri,
        "type": "object",
        "required": ["stac_extensions", "properties", "assets"],
        "properties": {
            "stac_extensions": {"contains": {"const": uri}},
            "properties": with_bands,
            "assets": {"additionalProperties": with_bands},
            "links": listing(known),
        },
        "anyOf": [
            {"properties": {"properties": somewhere}},
            {"properties": {"assets": {"not": {"additionalProperties": {"not": somewhere}}}}},
        ],
        **more,
    }


CLASS = record(
    ["value", "name"],
    value={"type": "integer"},
    name={"type": "string", "pattern": "^[0-9A-Za-z_-]+$"},
    description=TEXT,
    title=TEXT,
    color_hint={"type": "string", "pattern": "^[0-9A-Fa-f]{6}$"},
    nodata={"type": "boolean"},
)
BIT_FIELD = record(
    ["offset", "length", "classes"],
    offset=COUNT,
    length={"type": "integer", "minimum": 1},
    classes=listing(CLASS, minItems=1),
)
EXPRESSION = record(["format", "expression"], format=TEXT)

TASKS = ["regression", "classification", "scene-classification", "detection", "object-detection",
         "segmentation", "semantic-segmentation", "instance-segmentation",
         "panoptic-segmentation", "similarity-search", "generative", "image-captioning",
         "super-resolution"]  # fmt: skip
SHAPE = record(
    ["shape", "dim_order", "data_type"],
    shape=listing({"type": "integer", "minimum": -1}, minItems=1),
    dim_order=listing({"type": "string", "pattern": "^[a-z-_]+$"}, minItems=1, uniqueItems=True),
    data_type={"enum": DATA_TYPES},
)
SCALINGS: dict[str, list[str]] = {
    "min-max": ["minimum", "maximum"], "z-score": ["mean", "stddev"],
    "clip": ["minimum", "maximum"], "clip-min": ["minimum"], "clip-max": ["maximum"],
    "offset": ["value"], "scale": ["value"], "processing": ["format", "expression"],
}  # fmt: skip
SCALING = {
    "oneOf": [
        {"required": ["type", *needs], "properties": {"type": {"const": kind}}}
        for kind, needs in SCALINGS.items()
    ]
}
NAMED = {"name": TEXT, "description": TEXT, "bands": listing({}, maxItems=0)}
MODEL = {"properties": {"roles": {"contains": {"const": "mlm:model"}}}, "required": ["roles"]}

MLM = {
    "mlm:name": {"type": "string", "pattern": r"^[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]$"},
    "mlm:architecture": TEXT,
    "mlm:tasks": listing({"enum": TASKS}, uniqueItems=True, minItems=1),
    "mlm:framework": TEXT,
    "mlm:framework_version": TEXT,
    "mlm:memory_size": COUNT,
    "mlm:total_parameters": COUNT,
    "mlm:pretrained": {"type": "boolean"},
    "mlm:pretrained_source": or_null(TEXT),
    "mlm:batch_size_suggestion": COUNT,
    "mlm:accelerator": or_null(TEXT),
    "mlm:accelerator_constrained": {"type": "boolean"},
    "mlm:accelerator_summary": TEXT,
    "mlm:accelerator_count": COUNT,
    "mlm:hyperparameters": {"type": "object", "minProperties": 1},
    "mlm:input": listing(
        record(
            ["name", "bands", "input"],
            **NAMED,
            input=SHAPE,
            value_scaling=or_null(listing(SCALING, minItems=1)),
            pre_processing_function=or_null(EXPRESSION),
        ),
        minItems=1,
    ),
    "mlm:output": listing(
        record(
            ["name", "tasks", "result"],
            **NAMED,
            tasks=listing({"enum": TASKS}),
            result=SHAPE,
            post_processing_function=or_null(EXPRESSION),
        ),
        minItems=1,
    ),
    "mlm:artifact_type": TEXT,
    "mlm:compile_method": TEXT,
    "mlm:entrypoint": TEXT,
}

EXTENSIONS = [
    extension(
        "processing/v1.2.0",
        {
            "processing:expression": EXPRESSION,
            "processing:lineage": TEXT,
            "processing:level": TEXT,
            "processing:facility": TEXT,
            "processing:software": {"type": "object", "additionalProperties": TEXT},
            "processing:version": TEXT,
            "processing:datetime": {"type": "string", "format": "date-time"},
        },
    ),
    extension(
        "projection/v2.0.0",
        {
            "proj:code": or_null({"type": "string", "pattern": "^[A-Z]+:[0-9]+$"}),
            "proj:wkt2": or_null(TEXT),
            "proj:projjson": or_null({"type": "object"}),
            "proj:geometry": {"type": "object"},
            "proj:bbox": listing(NUMBER, minItems=4, maxItems=6),
            "proj:centroid": record(["lat", "lon"], lat=NUMBER, lon=NUMBER),
            "proj:shape": listing(COUNT, minItems=2, maxItems=2),
            "proj:transform": listing(NUMBER, minItems=6, maxItems=9),
        },
    ),
    extension(
        "raster/v2.0.0",
        {
            "raster:sampling": {"enum": ["area", "point"]},
            "raster:bits_per_sample": COUNT,
            "raster:spatial_resolution": NUMBER,
            "raster:scale": NUMBER,
            "raster:offset": NUMBER,
            "raster:histogram": {"type": "object"},
        },
    ),
    extension(
        "eo/v2.0.0",
        {
            "eo:cloud_cover": PERCENT,
            "eo:snow_cover": PERCENT,
            "eo:common_name": TEXT,
            "eo:center_wavelength": {"type": "number", "exclusiveMinimum": 0},
            "eo:full_width_half_max": {"type": "number", "exclusiveMinimum": 0},
            "eo:solar_illumination": {"type": "number", "minimum": 0},
        },
    ),
    extension(
        "classification/v2.0.0",
        {
            "classification:classes": listing(CLASS, minItems=1, uniqueItems=True),
            "classification:bitfields": listing(BIT_FIELD, minItems=1, uniqueItems=True),
        },
    ),
    extension(
        "file/v2.1.0",
        {
            "file:checksum": {"type": "string", "pattern": "^[a-f0-9]+$"},
            "file:size": COUNT,
            "file:header_size": COUNT,
            "file:byte_order": {"enum": ["big-endian", "little-endian"]},
            "file:values": listing({"type": "object"}),
            "file:local_path": TEXT,
        },
    ),
    extension(
        "mlm/v1.4.0",
        MLM,
        allOf=[
            {
                "properties": {
                    "properties": {
                        "required": ["mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input",
                                     "mlm:output"],
                        "not": {"required": ["mlm:artifact_type"]},
                    },
                    "assets": {
                        # A file of the model says how it was saved, and no other file does.
                        "additionalProperties": {
                            "if": MODEL,
                            "then": {"required": ["mlm:artifact_type"]},
                            "else": {"not": {"required": ["mlm:artifact_type"]}},
                        },
                        "not": {"additionalProperties": {"not": MODEL}},
                    },
                }
            }
        ],
    ),
]  # fmt: skip


class OfflineValidator(JsonSchemaSTACValidator):
    """pystac's validator with every schema at hand; one that is missing is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.schema_cache |= {schema["$id"]: schema for schema in EXTENSIONS}

    def _get_schema(self, schema_uri: str) -> Schema:
        assert schema_uri in self.schema_cache, f"no schema here for {schema_uri}"
        return super()._get_schema(schema_uri)


def validate(item: dict[str, Any]) -> None:
    """Raise STACValidationError unless ``item`` is valid."""
    assert item["type"] == "Feature"
    checked = pystac.validation.validate_dict(item, validator=OfflineValidator())
    assert len(checked) == 1 + len(item["stac_extensions"])
