"""Arrays as the repository has them: the batch in front, and an axis of one behind it where it is alone."""

from typing import Any

import numpy as np

from recurrent import Array


def order(spec: dict[str, Any]) -> list[int]:
    """Give the axes of a tensor of the manifest with the batch in front."""
    batch = spec["shape"].index("batch")
    return [batch, *(axis for axis in range(len(spec["shape"])) if axis != batch)]


def moved(array: Array, spec: dict[str, Any]) -> Array:
    """Move the batch of an array to the front."""
    result = np.ascontiguousarray(array.transpose(order(spec)))
    return result[:, None] if array.ndim == 1 else result


def moved_back(array: Array, spec: dict[str, Any]) -> Array:
    """Move the batch of an array to where the manifest has it."""
    own = array[:, 0] if len(spec["shape"]) == 1 else array
    return own.transpose(np.argsort(order(spec)))
