"""How products and what reads them are cut into tiles, whose numbers stay in registers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rnn_export.backends.c.plan.buffers import WIDTH, wide
from rnn_export.backends.c.trace.graph import Affine, Dot, Vector, View
from rnn_export.signature.tensors import Array

VECTORS = 4  # of a tile's row, where a vector has WIDTH numbers


@dataclass(frozen=True)
class Gates:
    """An affine operation that is read in parts of one size: the first columns, equally spaced."""

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
    if any(view.size != size or not view.step or view.offset % WIDTH for view in views) or len(spaces) > 1:
        return None
    return None if len(offsets) > VECTORS else Gates(vector, operation, tuple(offsets))


@dataclass(frozen=True)
class Cut:
    """Units that are computed in tiles: the first, the end, and how many sixteens a tile has."""

    first: int
    end: int
    each: int


def cuts(count: int, size: int) -> list[Cut]:
    """Cut the units of so many gates into tiles.

    >>> cuts(1, 112)
    [Cut(first=0, end=64, each=4), Cut(first=64, end=112, each=3)]
    """
    blocks = wide(size) // WIDTH
    each = min(VECTORS // count, blocks) if count else 1
    full = blocks // each * each
    found = [Cut(0, full * WIDTH, each), Cut(full * WIDTH, blocks * WIDTH, blocks - full)]
    return [cut for cut in found if cut.first < cut.end]


def interleaved(matrix: Array, known: Gates, size: int, tiles: list[Cut]) -> Array:
    """Order a matrix as the tiles read it: for each tile all rows, in a row the same units of every gate."""
    padded = np.zeros((matrix.shape[0], known.offsets[-1] + wide(size)), matrix.dtype)
    for offset in known.offsets:
        padded[:, offset : offset + size] = matrix[:, offset : offset + size]
    found = []
    for cut in tiles:
        for first in range(cut.first, cut.end, cut.each * WIDTH):
            ranges = [slice(offset + first, offset + first + cut.each * WIDTH) for offset in known.offsets]
            found.append(np.concatenate([padded[:, columns] for columns in ranges], axis=1).ravel())
    return np.concatenate(found)


def partial_sums(columns: int, view: View, *, loop: bool) -> int:
    """Choose how many sums a number is made of.

    In a loop through the state each time step waits for the one before: few columns would leave the processor
    waiting for one long chain of additions.
    """
    if not loop:
        return 1
    return 4 if columns <= 32 and view.size >= 16 else 2 if columns <= 128 and view.size >= 8 else 1
