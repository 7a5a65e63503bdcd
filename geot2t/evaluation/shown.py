"""What the methods may see of a case: nothing of what is hidden gets past here."""

from __future__ import annotations

from geot2t.evaluation.cases import Bool, Case
from geot2t.fill import Block, Float, Source
from geot2t.grid import Box
from geot2t.io import Stack
from geot2t.shortlist import MOST_DATES, shortlist


class Hiding:
    """A series in which a case hides what it hides; a `geot2t.fill.Source`.

    Parameters
    ----------
    stack : Stack
        The dates that may be seen; its target is the case's.
    case : Case
    """

    def __init__(self, stack: Stack, case: Case) -> None:
        self._stack, self._case = stack, case
        self.extent, self.target = case.box, stack.target

    def read(self, box: Box) -> Block:
        """Read ``box`` of all dates."""
        block = self._stack.read(box)
        hidden = self._case.hidden[box.within(self.extent)]
        block.valid[self.target] &= ~hidden
        block.pixels[self.target][:, hidden] = 0
        return block

    def read_target(self, box: Box) -> tuple[Float, Bool]:
        """Read ``box`` of the target date."""
        block = self.read(box)
        return block.pixels[self.target], block.valid[self.target]


class Held:
    """A block in memory, so that methods can read it one after the other.

    Parameters
    ----------
    block : Block
        All that can be read.
    target : int
        Index in time of the date to be filled.
    """

    def __init__(self, block: Block, target: int) -> None:
        self.block, self.target = block, target
        self.extent = block.box

    def read(self, box: Box) -> Block:
        """Read ``box`` of all dates."""
        cut = box.within(self.extent)
        return Block(self.block.pixels[..., *cut], self.block.valid[:, *cut], self.block.days, box)

    def read_target(self, box: Box) -> tuple[Float, Bool]:
        """Read ``box`` of the target date."""
        cut = box.within(self.extent)
        return self.block.pixels[self.target][:, *cut], self.block.valid[self.target][cut]


def held(stack: Stack, case: Case, *, seed: int) -> Held:
    """Read what the methods may see of a case.

    Of a long series they see the dates that `geot2t.inpaint` would take, chosen without a look
    at what is hidden.
    """
    left = [i for i in range(len(stack.days)) if i not in case.without]
    stack = stack.retarget(case.target).subset(left)
    source: Source = Hiding(stack, case)
    if len(left) > MOST_DATES:
        source = Hiding(stack.subset(shortlist(source, MOST_DATES, seed=seed)), case)
    return Held(source.read(case.box), source.target)
