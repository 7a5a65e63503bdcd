"""Model files: weights as safetensors, everything else as JSON beside them; never a pickle.

``NAME.safetensors`` holds the tensors of the generator and the critic, ``NAME.json`` the
configuration needed to rebuild them, the SHA-256 of the weights, and the model's card.
Neither file can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from geot2t.bodies import architecture
from geot2t.critic import Critic, CriticConfig
from geot2t.errors import ModelError
from geot2t.generator import Generator, GeneratorConfig
from geot2t.io.publish import write_bytes

FORMAT = "geot2t-model/1"
SHIPPED = Path(__file__).parent / "weights"
DEFAULT = "t2t-gan"
_LIMIT = 4 << 30
"""Largest model file that is read, in bytes."""

_MOVED = dict.fromkeys(("up2", "mix2", "up1", "mix1"), "back")
"""Where parts of the generator went that files from before there were architectures hold."""

Config = TypeVar("Config", GeneratorConfig, CriticConfig)


@dataclass(slots=True)
class Model:
    """A generator and its critic, with what is known of them."""

    generator: Generator
    critic: Critic
    name: str = "untrained"
    """Name under which the model appears in outputs."""

    sha256: str = ""
    """Checksum of the weights file; empty while there is none."""

    card: dict[str, Any] = field(default_factory=dict)
    """Data, settings and figures of the training."""

    factors: dict[str, float] = field(default_factory=dict)
    """For each method, half-width of the 90 % interval over the expected absolute error, as
    measured on held-back windows; used where a scene cannot calibrate itself."""

    @property
    def draws(self) -> bool:
        """Whether it was taught to draw (`geot2t.paint`), and so does not fill."""
        return "ground" in self.card


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Tensors of a safetensors file and the SHA-256 of its bytes.

    Raises
    ------
    ModelError
        If the file is missing, too large, or not a sound safetensors file.
    """
    try:
        if path.stat().st_size > _LIMIT:
            raise ModelError(f"{path} is larger than {_LIMIT >> 30} GiB; it is not a geot2t model")
        data = path.read_bytes()
        return load(data), hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"{path} is not a safetensors file ({error}); geot2t reads no other kind of weights"
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors so that ``path`` is whole or absent; returns the SHA-256."""
    data = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def save_model(path: Path, model: Model) -> None:
    """Write ``path`` (.safetensors) and its JSON; the JSON, which vouches for it, last."""
    tensors = {
        f"{part}.{key}": value
        for part, module in (("generator", model.generator), ("critic", model.critic))
        for key, value in module.state_dict().items()
    }
    sha256 = write_tensors(path, tensors)
    document = {
        "format": FORMAT,
        "name": model.name,
        "sha256": sha256,
        "generator": asdict(model.generator.config),
        "critic": asdict(model.critic.config),
        "factors": model.factors,
        "card": model.card,
    }
    write_bytes(path.with_suffix(".json"), json.dumps(document, indent=1).encode() + b"\n")


def resolve(name: str | Path | None) -> Path:
    """Weights file of a model given by name (those that ship), by path, or by default."""
    text = str(name or DEFAULT)
    shipped = SHIPPED / f"{text}.safetensors"
    if os.sep not in text and shipped.is_file():
        return shipped
    path = Path(text)
    if path.suffix == ".json":
        path = path.with_suffix(".safetensors")
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.safetensors"))) or "none"
        raise ModelError(f"no model {text}: it is neither a file nor one that ships ({known})")
    if path.suffix != ".safetensors":
        raise ModelError(
            f"{path} is not a .safetensors file; geot2t reads no other kind of weights"
        )
    return path


def _config(kind: type[Config], values: object, path: Path) -> Config:
    known = {f.name for f in fields(kind)}
    if not isinstance(values, dict) or set(values) - known:
        raise ModelError(f"{path} does not describe a {kind.__name__}; it needs {sorted(known)}")
    if "arch" in values:
        architecture(values["arch"])
    # Sizes come from a file that may be anybody's: they bound what is allocated below.
    sizes = [v for k, v in values.items() if k != "arch"]
    if not all(isinstance(v, int) and 0 < v <= 4096 for v in sizes):
        raise ModelError(f"{path} has a {kind.__name__} value that is not 1 to 4096")
    return kind(**values)


def _critic_config(document: dict[str, Any]) -> object:
    """What a file says of its critic, with what was so of all before it was said."""
    values = document.get("critic")
    return {"views": 1, "statistics": 9} | values if isinstance(values, dict) else values


def _today(key: str) -> str:
    home = _MOVED.get(key.split(".", 1)[0])
    return f"{home}.{key}" if home else key


def load_model(name: str | Path | None = None) -> Model:
    """Load a model by path, by the name of one that ships, or the default one.

    Parameters
    ----------
    name : str or Path, optional
        A ``.safetensors`` file with its ``.json`` beside it, or a shipped model's name.

    Returns
    -------
    Model
        On the CPU, in evaluation mode.

    Raises
    ------
    ModelError
        If a file is missing, altered, of another format, or its tensors do not fit.
    """
    path = resolve(name)
    beside = path.with_suffix(".json")
    try:
        document = json.loads(beside.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot read {beside}, which must stand beside {path.name}: {error}"
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelError(
            f"{beside} is not of the format {FORMAT}; train or download the model again"
        )
    generator_config = _config(GeneratorConfig, document.get("generator"), beside)
    critic_config = _config(CriticConfig, _critic_config(document), beside)
    tensors, sha256 = read_tensors(path)
    if sha256 != document.get("sha256"):
        raise ModelError(f"{path} was altered: its SHA-256 differs from the one in {beside.name}")
    with torch.device("meta"):
        generator, critic = Generator(generator_config), Critic(critic_config)
    for part, module in (("generator", generator), ("critic", critic)):
        own = {
            key.removeprefix(f"{part}."): value
            for key, value in tensors.items()
            if key.startswith(f"{part}.")
        }
        if part == "generator" and "arch" not in document["generator"]:
            own = {_today(key): value for key, value in own.items()}
        try:
            module.load_state_dict(own, assign=True)
        except RuntimeError as error:
            first = str(error).splitlines()[-1].strip()
            raise ModelError(f"{path} does not fit its configuration: {first}") from error
        module.requires_grad_(False)
        module.eval()
    return Model(
        generator,
        critic,
        str(document.get("name", path.stem)),
        sha256,
        dict(document.get("card") or {}),
        {str(k): float(v) for k, v in dict(document.get("factors") or {}).items()},
    )
