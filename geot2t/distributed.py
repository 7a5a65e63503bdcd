"""Training by several processes, each with a share of every batch, as `torchrun` starts them.

Gradients are averaged by hand rather than by DistributedDataParallel, through which the second
derivatives of the critic's penalties do not pass. Where there is one process all of this does
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from geot2t.errors import InputError

T = TypeVar("T")


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun started; gives the device of this one.

    Parameters
    ----------
    device : torch.device
        cpu, or cuda for a GPU of its own for each process.

    Raises
    ------
    InputError
        If there are fewer GPUs than processes.
    """
    if not _launched():
        yield device
        return
    if device.type == "cuda":
        device = _own_gpu(device)
    # What is gathered goes through the memory of the host on any device.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
        gather({})  # nobody leaves before the first process has written everything
    finally:
        dist.destroy_process_group()


def _own_gpu(device: torch.device) -> torch.device:
    if str(device) != "cuda":
        raise InputError(f"each process takes a GPU of its own; use cuda rather than {device}")
    here, there = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if here > there:
        raise InputError(
            f"{here} processes were started, and there are {there} GPUs; use "
            f"torchrun --nproc-per-node={there}, or --device cpu"
        )
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def is_first() -> bool:
    """Whether this is the process that writes files and talks to the user."""
    return not _launched() or int(os.environ["RANK"]) == 0


def place() -> tuple[int, int]:
    """Number of this process, from 0, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if _several() else (0, 1)


def share(numbers: range) -> range:
    """Those of ``numbers``, which rise by one, that are this process's part."""
    rank, count = place()
    return range(numbers.start + (rank - numbers.start) % count, numbers.stop, count)


def gather(mine: Mapping[int, T]) -> list[T]:
    """What all processes have, in the order of its numbers."""
    parts: list[Any] = [mine]
    if _several():
        parts = [None] * dist.get_world_size()
        dist.all_gather_object(parts, mine)
    every = {number: value for part in parts for number, value in part.items()}
    return [every[number] for number in sorted(every)]


def mean(value: Tensor) -> Tensor:
    """Average over all processes; no gradient passes."""
    if not _several():
        return value.detach()
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def average_gradients(module: nn.Module) -> None:
    """Give the parameters the average of all processes' gradients, in one exchange."""
    if not _several():
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    together = mean(torch.cat([g.flatten() for g in gradients]))
    parts = together.split([g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def same_weights(modules: Iterable[nn.Module]) -> None:
    """Give all processes the weights of the first one."""
    if _several():
        for module in modules:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)


def _launched() -> bool:
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
