"""The tensors of a call: names, dtypes, and shapes of numbers and named free sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rnn_export.errors import InputError, mismatch
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.sizes import size as size_of

Array = np.ndarray[Any, np.dtype[Any]]


class Shaped(Protocol):
    """Anything with a shape and a dtype: an array or a tensor."""

    @property
    def shape(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def dtype(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a call: ``shape`` holds sizes, and ``"time"``, ``"batch"``, ... where they are free.

    Outputs of another length than the inputs say what it is: ``"(time + 1)//2"``.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(str(size) for size in self.shape)}]"

    @property
    def free_axes(self) -> tuple[int, ...]:
        """The positions of the axes whose sizes are free; all others number the units of the tensor."""
        return tuple(axis for axis, size in enumerate(self.shape) if isinstance(size, str))

    @property
    def time_axis(self) -> int | None:
        """The position of the time axis; ``None`` where there is none."""
        return self.shape.index(TIME) if TIME in self.shape else None

    @property
    def batch_axis(self) -> int:
        """The position of the batch axis."""
        return self.shape.index(BATCH)

    @property
    def other_axes(self) -> tuple[int, ...]:
        """The positions of all axes but batch."""
        return tuple(axis for axis, size in enumerate(self.shape) if size != BATCH)

    def cut(self, value: Array, piece: slice) -> Array:
        """Give some time steps of a value; all of it, if it has no time axis."""
        axis = self.time_axis
        return value if axis is None else value[(slice(None),) * axis + (piece,)]

    def sized(self, **sizes: int) -> tuple[int, ...]:
        """Give the shape with numbers for ``time``, ``batch`` and other free sizes."""
        return tuple(size_of(size, sizes) for size in self.shape)

    def bind(self, value: Shaped, sizes: dict[str, int], where: str) -> None:
        """Check a tensor against this, and record in ``sizes`` what time and batch it fixes.

        Raises:
            InputError: the dtype, the rank or a size is another.
        """
        dtype = str(value.dtype).removeprefix("torch.")
        shape = tuple(value.shape)
        expected = tuple(sizes.get(size, size) if isinstance(size, str) else size for size in self.shape)
        fits = len(shape) == len(expected) and all(
            isinstance(want, str) or want == got for want, got in zip(expected, shape, strict=True)
        )
        if dtype != self.dtype or not fits:
            named = ", ".join(f"{free}={sizes[free]}" if free in sizes else str(free) for free in self.shape)
            raise InputError(
                mismatch(
                    f"{where} {self.name!r}",
                    f"{self.dtype} [{named}]",
                    f"{dtype} {list(shape)}",
                    self._remedy(dtype, shape, sizes),
                )
            )
        sizes.update({str(self.shape[axis]): shape[axis] for axis in self.free_axes})

    def _remedy(self, dtype: str, shape: tuple[int, ...], sizes: Mapping[str, int]) -> str:
        """Say what to do about a tensor that does not fit, by what is wrong with it."""
        if dtype != self.dtype:
            return f"Convert it to {self.dtype}."
        if len(shape) != len(self.shape):
            one_row = ""
            if len(shape) == len(self.shape) - 1 and BATCH in self.shape:
                index = ", ".join([":"] * self.batch_axis + ["None"])
                one_row = f" Of a single row: {self.name}[{index}]."
            return f"It has {len(self.shape)} axes, not {len(shape)}.{one_row}"
        for axis, (want, got) in enumerate(zip(self.shape, shape, strict=True)):
            if isinstance(want, int) and want != got:
                return f"Axis {axis} is {want} in this model, not {got}."
        return self.bound_remedy

    @property
    def bound_remedy(self) -> str:
        """What to do about a size that another tensor of the call has already fixed."""
        return "All inputs of a call have the same time steps and the same batch."


LENGTHS = TensorSpec("lengths", "int64", (BATCH,))


@dataclass(frozen=True)
class InputSpec(TensorSpec):
    """A tensor that goes in: a sequence, or a context, which has no time axis and is that of the whole call.

    ``vocabulary`` is the number of token ids: these are ``0, 1, ...`` below it. ``None`` if that is not
    known, or if they are no ids. A size of a context may be free, under a name of its own. One that
    ``counts_steps`` is the module's own number of time steps of each row: from 1 to time.
    """

    vocabulary: int | None = None
    counts_steps: bool = False

    @property
    def role(self) -> str:
        """``"sequence"``, ``"context"`` or ``"lengths"``."""
        return "lengths" if self.counts_steps else "context" if self.time_axis is None else "sequence"


@dataclass(frozen=True)
class OutputSpec(TensorSpec):
    """A tensor that comes out beside the state.

    One that is ``flattened`` comes out of the module, and of an ONNX file, with its first two axes as one.
    ``padding`` is what it has behind the end of a row, if there are lengths: a number, or one for each unit
    as nested lists. Outputs of the last time step have none.
    """

    flattened: bool = False
    padding: Any = 0.0

    def ended(self, dtype: str) -> Array:
        """Give what stands behind the end of a row: a number, or numbers that broadcast to the output."""
        row = np.asarray(self.padding, dtype)
        return np.expand_dims(row, self.free_axes) if row.ndim else row

    @property
    def in_file(self) -> TensorSpec:
        """What the same tensor looks like in an ONNX file."""
        if not self.flattened:
            return self
        return TensorSpec(self.name, self.dtype, (f"{self.shape[0]}*{self.shape[1]}", *self.shape[2:]))

    def from_file(self, value: Array, sizes: Mapping[str, int]) -> Array:
        """Give what came out of an ONNX file with all axes apart; others are as they are."""
        return value.reshape(self.sized(**sizes)) if self.flattened else value

    def from_module(self, value: Array) -> Array:
        """Give a value as the module gives it."""
        return value.reshape(-1, *value.shape[2:]) if self.flattened else value


@dataclass(frozen=True)
class StateSpec(TensorSpec):
    """A leaf of the state; ``initial`` is its first value, a number or a row as nested lists.

    In JSON an infinity is a word, ``"Infinity"`` or ``"-Infinity"``.
    """

    initial: Any = 0.0

    @property
    def bound_remedy(self) -> str:
        """What to do about a state of another batch."""
        return "The state is made for the batch of the inputs."

    @property
    def output_name(self) -> str:
        """The name of the same leaf after the call."""
        return f"{self.name}_out"

    def initial_value(self, batch: int) -> Array:
        """Give the initial value for a batch."""
        row = np.broadcast_to(
            np.asarray(self.initial, self.dtype), tuple(size for size in self.shape if isinstance(size, int))
        )
        return np.ascontiguousarray(
            np.broadcast_to(np.expand_dims(row, self.batch_axis), self.sized(batch=batch))
        )
