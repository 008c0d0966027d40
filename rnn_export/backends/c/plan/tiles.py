"""How products and what reads them are cut into tiles, whose numbers stay in registers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rnn_export.backends.c.plan.buffers import WIDTH, wide
from rnn_export.backends.c.trace.graph import Affine, Dot, Vector, View
from rnn_export.signature.tensors import Array

VECTORS = 4  # of a tile's row, where a vector has WIDTH numbers
HALF = 8  # numbers; gates with so many units left, or fewer, share vectors of WIDTH in pairs


@dataclass(frozen=True)
class Gates:
    """An affine operation that is read in parts of one size, equally spaced."""

    vector: Vector
    operation: Affine
    offsets: tuple[int, ...]

    @property
    def count(self) -> int:
        """Give the number of gates."""
        return len(self.offsets)

    @property
    def gap(self) -> int:
        """Give the columns from a gate to the next."""
        return self.offsets[1] - self.offsets[0] if self.count > 1 else 0


def gates(vector: Vector, readers: Sequence[Vector | None], users: list[Vector]) -> Gates | None:
    """Say how some vectors of a size read an affine one, if they alone read it, and as gates."""
    operation, size = vector.operation, users[0].size
    if not isinstance(operation, Affine) or isinstance(operation, Dot):
        return None
    if not readers or any(reader not in users for reader in readers):
        return None
    views = [view for user in users for view in user.operation.views() if view.vector is vector]
    offsets = sorted({view.offset for view in views})
    spaces = {after - before for before, after in pairwise(offsets)}
    if any(view.size != size or not view.step for view in views) or len(spaces) > 1:
        return None
    if operation.start is not None and any(offset % WIDTH for offset in offsets):
        return None  # a load of what two stores made would wait for both
    return None if len(offsets) > VECTORS else Gates(vector, operation, tuple(offsets))


@dataclass(frozen=True)
class Cut:
    """Units that are computed in tiles.

    Attributes:
        first: the first of them, and ``end`` the one behind.
        each: the vectors that a tile has of a gate.
        panel: the columns of a gate that stand side by side in the weights.
    """

    first: int
    end: int
    each: int
    panel: int


def cuts(count: int, size: int) -> list[Cut]:
    """Cut the units of so many gates into tiles; a few units that are left share vectors in pairs of gates.

    >>> cuts(1, 112)
    [Cut(first=0, end=64, each=4, panel=64), Cut(first=64, end=112, each=3, panel=48)]
    >>> cuts(4, 20)
    [Cut(first=0, end=16, each=1, panel=16), Cut(first=16, end=24, each=1, panel=8)]
    """
    half = count > 1 and 0 < size % WIDTH <= HALF
    blocks = size // WIDTH if half else wide(size) // WIDTH
    each = min(VECTORS // count, max(blocks, 1)) if count else 1
    full, end = blocks // each * each * WIDTH, blocks * WIDTH
    found = [Cut(0, full, each, each * WIDTH), Cut(full, end, blocks % each, blocks % each * WIDTH)]
    if half:
        found.append(Cut(end, end + HALF, 1, HALF))
    return [cut for cut in found if cut.first < cut.end]


def columns(cut: Cut, known: Gates) -> int:
    """Count the columns of a tile's panel: halves stand in pairs."""
    return cut.panel * (known.count + known.count % 2 if cut.panel == HALF else known.count)


def interleaved(matrix: Array, known: Gates, size: int, tiles: list[Cut]) -> Array:
    """Order a matrix as the tiles read it: for each tile all rows, in a row the same units of every gate."""
    padded = np.zeros((matrix.shape[0], known.count, wide(size)), matrix.dtype)
    for gate, offset in enumerate(known.offsets):
        padded[:, gate, :size] = matrix[:, offset : offset + size]
    found = []
    for cut in tiles:
        for first in range(cut.first, cut.end, cut.panel):
            part = padded[:, :, first : first + cut.panel].reshape(len(padded), -1)
            found.append(np.pad(part, ((0, 0), (0, columns(cut, known) - part.shape[1]))).ravel())
    return np.concatenate(found)


def partial_sums(columns: int, view: View, *, loop: bool) -> int:
    """Choose how many sums a number is made of.

    In a loop through the state each time step waits for the one before: few columns would leave the processor
    waiting for one long chain of additions.
    """
    if not loop:
        return 1
    return 1 if view.size < 8 or columns > 160 else 4 if columns <= 32 else 2
