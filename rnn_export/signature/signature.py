"""What a call looks like: names, dtypes and shapes of the inputs, of each state leaf and of the outputs."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from rnn_export.errors import InputError, mismatch
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.sizes import size as size_of
from rnn_export.signature.tree import Tree

Array = np.ndarray[Any, np.dtype[Any]]
FIELDS = {
    "not_streamable_because": "whole_only"
}  # what a field is called in a bundle, if it has another name there
# JSON has no such numbers. What reads numbers takes these words, in C, Go, Java, JavaScript, Python, Rust.
INFINITIES = {"Infinity": float("inf"), "-Infinity": float("-inf")}
# One call: the inputs and the state's leaves in; the outputs and the new state's leaves out, in a list.
Call = Callable[..., list[Array]]


def pieces(steps: int) -> Iterator[slice]:
    """Cut a sequence into pieces of 1, 2, 4, ... time steps.

    >>> [(piece.start, piece.stop) for piece in pieces(10)]
    [(0, 1), (1, 3), (3, 7), (7, 10)]
    """
    start, length = 0, 1
    while start < steps:
        stop = min(start + length, steps)
        yield slice(start, stop)
        start, length = stop, 2 * length


class Shaped(Protocol):
    """Anything with a shape and a dtype: an array or a tensor."""

    @property
    def shape(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def dtype(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a call: ``shape`` holds sizes, and ``"time"`` and ``"batch"`` where they are free.

    Outputs of another length than the inputs say what it is: ``"(time + 1)//2"``.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(str(size) for size in self.shape)}]"

    @property
    def free_axes(self) -> tuple[int, ...]:
        """The positions of the time and batch axes; all others number the units of the tensor."""
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
        """Give some time steps of a value."""
        return value[(slice(None),) * self.shape.index(TIME) + (piece,)]

    def sized(self, **sizes: int) -> tuple[int, ...]:
        """Give the shape with numbers for ``time`` and ``batch``."""
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
                    "The state is made for the batch of the inputs."
                    if dtype == self.dtype
                    else f"Convert it to {self.dtype}.",
                )
            )
        sizes.update({str(self.shape[axis]): shape[axis] for axis in self.free_axes})


LENGTHS = TensorSpec("lengths", "int64", (BATCH,))


@dataclass(frozen=True)
class StateSpec(TensorSpec):
    """A leaf of the state; ``initial`` is its first value, a number or a row as nested lists.

    In JSON an infinity is a word, ``"Infinity"`` or ``"-Infinity"``.
    """

    initial: Any = 0.0

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


@dataclass(frozen=True)
class Signature:
    """What a call looks like.

    A call takes ``inputs`` and every leaf of ``state``, in this order, and gives ``outputs`` and, if
    ``returns_state``, the leaves of the new state. The position of the time and batch axes is that of the
    module; outputs without a time axis are those of the last time step. ``tree`` says how ``model.pt`` wraps
    the leaves. ``not_streamable_because`` is the reason why a sequence may not be cut; ``None`` if it may be
    cut anywhere, as long as the state is handed on.

    With ``lengths`` a call takes, last of all, the number of time steps of each row: int64, of shape
    ``[batch]``, from 0 to time. A row's outputs are zero from there on, and its new state is the one after
    its own last time step; what its inputs hold behind that reaches nothing.

    ``least`` is the fewest time steps that a call takes: a pooling or a kernel over time may need several.

    ``vocabulary`` is the number of token ids: the inputs are ``0, 1, ...`` below it. ``None`` if that is not
    known, or if they are no ids.
    """

    inputs: TensorSpec
    state: tuple[StateSpec, ...]
    outputs: TensorSpec
    tree: Tree
    returns_state: bool = True
    not_streamable_because: str | None = None
    lengths: bool = False
    vocabulary: int | None = None
    least: int = 1

    @property
    def streamable(self) -> bool:
        """Whether a sequence may be cut anywhere, the state handed on."""
        return self.not_streamable_because is None

    @property
    def arguments(self) -> tuple[TensorSpec, ...]:
        """What goes in, in order: the inputs, the leaves of the state, and the lengths if there are any."""
        return (self.inputs, *self.state, *([LENGTHS] if self.lengths else []))

    @property
    def input_names(self) -> list[str]:
        """The names of what goes in, in order."""
        return [spec.name for spec in self.arguments]

    @property
    def output_names(self) -> list[str]:
        """The names of what comes out, in order."""
        return [self.outputs.name, *(leaf.output_name for leaf in self.returned_state)]

    @property
    def results(self) -> tuple[TensorSpec, ...]:
        """What comes out, in order: the outputs, then the leaves of the new state."""
        return (self.outputs, *self.returned_state)

    @property
    def returned_state(self) -> tuple[StateSpec, ...]:
        """The leaves of the new state that come out: all or none."""
        return self.state if self.returns_state else ()

    @property
    def dtype(self) -> str:
        """The floating-point dtype of the net, as the first tensor of one has it."""
        kinds = (spec.dtype for spec in (self.outputs, *self.state, self.inputs))
        return next((dtype for dtype in kinds if dtype.startswith("float")), "float32")

    def initial_state(self, batch: int) -> tuple[Array, ...]:
        """Give the initial state for a batch, in flat order."""
        return tuple(leaf.initial_value(batch) for leaf in self.state)

    def check_call(
        self, inputs: Shaped, state: Sequence[Shaped], lengths: Array | None = None, where: str = "argument"
    ) -> dict[str, int]:
        """Check a call and return its sizes, ``{"time": T, "batch": B}``.

        Raises:
            InputError: a tensor has another dtype, rank or size, the state another number of leaves, or a
                length is not one.
        """
        if len(state) != len(self.state):
            names = ", ".join(leaf.name for leaf in self.state)
            raise InputError(
                mismatch(
                    f"{where} 'state'",
                    f"{len(self.state)} tensors ({names})",
                    f"{len(state)}",
                    "Pass the tensors that begin_state() or the last call gave, in the same order.",
                )
            )
        sizes: dict[str, int] = {}
        self.inputs.bind(inputs, sizes, where)
        if sizes[TIME] == 0 or sizes[BATCH] == 0:
            raise InputError(
                mismatch(
                    f"{where} {self.inputs.name!r}",
                    "at least one time step and one row",
                    f"{list(inputs.shape)}",
                    "Leave the call out: without a time step the state is unchanged.",
                )
            )
        if sizes[TIME] < self.least:
            expected, got = f"at least {self.least} time steps", str(sizes[TIME])
            remedy = "Pad the inputs: the module takes no fewer."
            raise InputError(mismatch(f"{where} {self.inputs.name!r}", expected, got, remedy))
        for leaf, value in zip(self.state, state, strict=True):
            leaf.bind(value, sizes, where)
        if lengths is not None:
            LENGTHS.bind(lengths, sizes, where)
            if not ((lengths >= 0) & (lengths <= sizes[TIME])).all():
                expected = f"numbers of time steps from 0 to {sizes[TIME]}"
                remedy = "Give each row the number of its own time steps."
                raise InputError(mismatch(f"{where} 'lengths'", expected, lengths.tolist(), remedy))
        return sizes

    def check_ids(self, inputs: Array, lengths: Array | None, where: str = "argument") -> None:
        """Check the token ids of a call that :meth:`check_call` has passed; not those behind the lengths.

        Raises:
            InputError: one is not in the vocabulary.
        """
        if self.vocabulary is None:
            return
        wrong = (inputs < 0) | (inputs >= self.vocabulary)
        if lengths is not None:
            steps = np.arange(inputs.shape[self.inputs.shape.index(TIME)])
            within = steps[:, None] < lengths
            wrong &= within if self.inputs.batch_axis else within.T
        if wrong.any():
            place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            position = ", ".join(f"{axis} {at}" for axis, at in zip(self.inputs.shape, place, strict=True))
            expected = f"token ids from 0 to {self.vocabulary - 1}"
            remedy = "Pass ids of the vocabulary that the model was made for."
            raise InputError(
                mismatch(f"{where} {self.inputs.name!r}", expected, f"{inputs[place]} at {position}", remedy)
            )

    def to_json(self) -> dict[str, Any]:
        """Give plain data for the manifest; a vocabulary that is not known is left out, and a least of 1."""
        data = asdict(self)
        if self.vocabulary is None:
            del data["vocabulary"]
        if self.least == 1:
            del data["least"]
        for leaf, spec in zip(data["state"], self.state, strict=True):
            leaf["initial"] = _replaced(spec.initial, {value: word for word, value in INFINITIES.items()})
            leaf["output_name"] = spec.output_name
        data["not_streamable_because"] = self.not_streamable_because or ""
        return {FIELDS.get(name, name): value for name, value in data.items()} | {
            "streamable": self.streamable
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Signature":
        """Read what :meth:`to_json` gave."""

        def spec(entry: dict[str, Any]) -> dict[str, Any]:
            return {"name": entry["name"], "dtype": entry["dtype"], "shape": tuple(entry["shape"])}

        return cls(
            inputs=TensorSpec(**spec(data["inputs"])),
            state=tuple(
                StateSpec(**spec(leaf), initial=_replaced(leaf["initial"], INFINITIES))
                for leaf in data["state"]
            ),
            outputs=TensorSpec(**spec(data["outputs"])),
            tree=data["tree"],
            returns_state=data["returns_state"],
            not_streamable_because=data["whole_only"] or None,
            lengths=data["lengths"],
            vocabulary=data.get("vocabulary"),
            least=data.get("least", 1),
        )


def _replaced(value: Any, by: Mapping[Any, Any]) -> Any:
    """Replace some numbers or words in nested lists."""
    if isinstance(value, list):
        return [_replaced(part, by) for part in value]
    return by.get(value, value) if isinstance(value, str | float) else value


def identifier(name: str) -> str:
    """Make a name that C and other languages can write out of a model's name.

    >>> identifier("2 nets-v1")
    'model_2_nets_v1'
    """
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "model"
    return f"model_{plain}" if plain[0].isdigit() else plain
