"""What a training run needs to go on after a kill: all weights and moments, no pickle.

``NAME.state.json`` vouches, by checksum, for ``NAME.state-STEP.safetensors``. A new state is
written whole under a new name before the JSON points to it, so that there is a good one at
any moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geot2t.checkpoint import read_tensors, write_tensors
from geot2t.errors import InputError, ModelError
from geot2t.io.publish import write_bytes

Modules = Mapping[str, nn.Module]
Optimisers = Mapping[str, torch.optim.Optimizer]


def save_state(
    output: Path, step: int, settings: dict[str, Any], modules: Modules, optimisers: Optimisers
) -> None:
    """Write the state of the run that makes ``output``, and remove the one before it."""
    tensors: dict[str, Tensor] = {}
    for part, module in modules.items():
        tensors |= {f"{part}/{k}": v for k, v in module.state_dict().items()}
    for part, optimiser in optimisers.items():
        for i, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"{part}/{i}/{k}": v for k, v in moments.items()}
    old = _vouched(output)
    path = output.with_name(f"{output.stem}.state-{step}.safetensors")
    sha256 = write_tensors(path, tensors)
    state = {"step": step, "file": path.name, "sha256": sha256, "settings": settings}
    write_bytes(_json_path(output), json.dumps(state).encode())
    if old and old["file"] != path.name:
        output.with_name(old["file"]).unlink(missing_ok=True)


def load_state(
    output: Path, settings: dict[str, Any], modules: Modules, optimisers: Optimisers
) -> int:
    """Restore the state of the run that makes ``output``; returns its step.

    Raises
    ------
    InputError
        If there is no state, or its run had other settings.
    ModelError
        If the state was altered.
    """
    state = _vouched(output)
    if not state:
        raise InputError(f"there is no unfinished run beside {output}; leave --resume out")
    # Through JSON, where a tuple is a list, as the stored settings went.
    if state["settings"] != json.loads(json.dumps(settings)):
        raise InputError(
            f"{_json_path(output)} is of a run with other settings; repeat those, or start anew "
            "with --overwrite"
        )
    path = output.with_name(state["file"])
    tensors, sha256 = read_tensors(path)
    if sha256 != state["sha256"]:
        raise ModelError(f"{path} was altered since it was written; train again")
    for part, module in modules.items():
        module.load_state_dict(_under(tensors, part))
    for part, optimiser in optimisers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, part).items():
            index, name = key.split("/")
            moments.setdefault(int(index), {})[name] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
    return int(state["step"])


def remove_state(output: Path) -> None:
    """Remove the state of a run that has come to its end."""
    state = _vouched(output)
    _json_path(output).unlink(missing_ok=True)
    if state:
        output.with_name(state["file"]).unlink(missing_ok=True)


def _json_path(output: Path) -> Path:
    return output.with_name(f"{output.stem}.state.json")


def _vouched(output: Path) -> dict[str, Any]:
    """The JSON of a state, or nothing if there is none; its file lies beside it."""
    try:
        state = dict(json.loads(_json_path(output).read_text("utf-8")))
        return state | {"file": Path(str(state["file"])).name}
    except (OSError, ValueError, KeyError):
        return {}


def _under(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{part}/"): v for k, v in tensors.items() if k.startswith(f"{part}/")}
