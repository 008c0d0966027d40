"""What a call looks like: names, dtypes and shapes of the inputs, of each state leaf and of the outputs."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnn_export.errors import InputError, mismatch
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import LENGTHS, Array, InputSpec, OutputSpec, Shaped, StateSpec, TensorSpec
from rnn_export.signature.tree import Tree

# One call: the inputs, the state's leaves and the lengths in; the outputs and the new state's leaves out.
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


FEW = 64  # numbers, of which a list is made sooner than an array is compared
CALL_HEADING = "Call", "Type", "Comes back as"  # of Signature.described


@dataclass(frozen=True)
class Signature:
    """What a call looks like.

    A call takes the ``inputs`` and every leaf of ``state``, in this order, and gives the ``outputs`` and, if
    ``returns_state``, the leaves of the new state. A call without a sequence among its inputs, of contexts
    alone, counts as one time step, and there is nothing to cut. The position of the time and batch axes is
    that of the module; outputs without a time axis are those of the last time step. ``tree`` says how
    ``model.pt`` wraps the leaves. ``not_streamable_because`` is the reason why a sequence may not be cut;
    ``None`` if it may be cut anywhere, as long as the state is handed on.

    With ``lengths`` a call takes, last of all, the number of time steps of each row: int64, of shape
    ``[batch]``, from 0 to time. A row's outputs are their ``padding`` from there on, zero as a rule, and its
    new state is the one after its own last time step; what its inputs hold behind that reaches nothing.

    ``least`` is the fewest time steps that a call takes: a pooling or a kernel over time may need several.

    ``takes`` and ``gives`` are the names in the order of the module's own flattened arguments and results,
    which is that of the files; empty where it is the order above.
    """

    inputs: tuple[InputSpec, ...]
    state: tuple[StateSpec, ...]
    outputs: tuple[OutputSpec, ...]
    tree: Tree
    returns_state: bool = True
    not_streamable_because: str | None = None
    lengths: bool = False
    least: int = 1
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()

    @property
    def streamable(self) -> bool:
        """Whether a sequence may be cut anywhere, the state handed on."""
        return self.not_streamable_because is None

    @property
    def arguments(self) -> tuple[TensorSpec, ...]:
        """What goes in, in order: the inputs, the leaves of the state, and the lengths if there are any."""
        return (*self.inputs, *self.state, *([LENGTHS] if self.lengths else []))

    @property
    def timed(self) -> bool:
        """Whether there is a sequence among the inputs."""
        return any(spec.time_axis is not None for spec in self.inputs)

    @property
    def sequence(self) -> InputSpec:
        """The first input with a time axis; the first one of all, where there is none."""
        return next((spec for spec in self.inputs if spec.time_axis is not None), self.inputs[0])

    @property
    def free_sizes(self) -> list[str]:
        """The names of free sizes of contexts: not time, nor batch."""
        names = [size for spec in self.inputs for size in spec.shape if isinstance(size, str)]
        return [name for name in dict.fromkeys(names) if name not in (TIME, BATCH)]

    @property
    def input_names(self) -> list[str]:
        """The names of what goes in, in order."""
        return [spec.name for spec in self.arguments]

    @property
    def output_names(self) -> list[str]:
        """The names of what comes out, in order."""
        return [*(spec.name for spec in self.outputs), *(leaf.output_name for leaf in self.returned_state)]

    @property
    def file_inputs(self) -> list[str]:
        """The names of what goes in, in the order of the files."""
        return [*self.takes, *([LENGTHS.name] if self.lengths else [])] if self.takes else self.input_names

    @property
    def file_outputs(self) -> list[str]:
        """The names of what comes out, in the order of the files."""
        return list(self.gives) or self.output_names

    @property
    def results(self) -> tuple[TensorSpec, ...]:
        """What comes out, in order: the outputs, then the leaves of the new state."""
        return (*self.outputs, *self.returned_state)

    @property
    def one_step(self) -> "Signature":
        """The call of a single time step: the same names, without a time axis."""
        inputs = [replace(spec, shape=_without_time(spec.shape)) for spec in self.inputs]
        outputs = [replace(spec, shape=_without_time(spec.shape), flattened=False) for spec in self.outputs]
        return replace(self, inputs=tuple(inputs), outputs=tuple(outputs))

    def in_order(self, takes: Sequence[str], gives: Sequence[str]) -> "Signature":
        """Give the same call with the names in an order of the module's own."""
        plain = replace(self, takes=(), gives=(), lengths=False)
        own_takes = () if list(takes) == plain.input_names else tuple(takes)
        return replace(self, takes=own_takes, gives=() if list(gives) == plain.output_names else tuple(gives))

    @property
    def returned_state(self) -> tuple[StateSpec, ...]:
        """The leaves of the new state that come out: all or none."""
        return self.state if self.returns_state else ()

    @property
    def dtype(self) -> str:
        """The floating-point dtype of the net, as the first tensor of one has it."""
        kinds = (spec.dtype for spec in (*self.outputs, *self.state, *self.inputs))
        return next((dtype for dtype in kinds if dtype.startswith("float")), "float32")

    @property
    def call(self) -> str:
        """What goes into a call and what comes out, in one line."""
        goes = ", ".join(f"{spec.name} {spec}" for spec in self.arguments)
        comes = zip(self.output_names, self.results, strict=True)
        return f"{goes} -> {', '.join(f'{name} {spec}' for name, spec in comes)}"

    @property
    def described(self) -> list[tuple[str, str, str]]:
        """A row for each tensor that goes in or comes out: its name, its type, and what it comes back as."""
        return [
            *((spec.name, str(spec), "") for spec in self.inputs),
            *((leaf.name, str(leaf), leaf.output_name) for leaf in self.state),
            *(("", str(output), output.name) for output in self.outputs),
        ]

    def initial_state(self, batch: int) -> tuple[Array, ...]:
        """Give the initial state for a batch, in flat order."""
        return tuple(leaf.initial_value(batch) for leaf in self.state)

    def cut(self, inputs: Sequence[Array], piece: slice) -> list[Array]:
        """Give some time steps of the inputs; a context is that of every time step."""
        return [spec.cut(value, piece) for spec, value in zip(self.inputs, inputs, strict=True)]

    def rows(self, inputs: Sequence[Array], chosen: Sequence[int]) -> list[Array]:
        """Give some rows of the batch."""
        return [value.take(chosen, spec.batch_axis) for spec, value in zip(self.inputs, inputs, strict=True)]

    def joined(self, parts: Sequence[Sequence[Array]]) -> list[Array]:
        """Put the outputs of pieces of a sequence together; one without a time axis is that of the last."""
        return [
            several[-1] if spec.time_axis is None else np.concatenate(several, spec.time_axis)
            for spec, several in zip(self.outputs, zip(*parts, strict=True), strict=True)
        ]

    def apart(self, arguments: Sequence[Array], results: list[Array]) -> list[Array]:
        """Give the results of an ONNX file with time and batch as two axes in all of them."""
        if not any(spec.flattened for spec in self.outputs):
            return results
        sizes = self.sizes(arguments[: len(self.inputs)])
        own = zip(self.outputs, results, strict=False)
        return [*(spec.from_file(value, sizes) for spec, value in own), *results[len(self.outputs) :]]

    def finite_rows(self, inputs: Sequence[Array]) -> Array:
        """Say which rows of some inputs hold finite numbers alone."""
        rows: Array = np.ones(self.sizes(inputs[: len(self.inputs)])[BATCH], bool)
        for spec, array in zip(self.inputs, inputs, strict=False):
            rows &= np.isfinite(array).all(axis=spec.other_axes)
        return rows

    def sizes(self, inputs: Sequence[Shaped]) -> dict[str, int]:
        """Give the free sizes of inputs that are known to be right, ``{"time": T, "batch": B, ...}``."""
        return self._untimed | {
            str(spec.shape[axis]): value.shape[axis]
            for spec, value in zip(self.inputs, inputs, strict=True)
            for axis in spec.free_axes
        }

    @property
    def _untimed(self) -> dict[str, int]:
        return {} if self.timed else {TIME: 1}

    def check_call(
        self,
        inputs: Sequence[Shaped],
        state: Sequence[Shaped],
        lengths: Array | None = None,
        where: str = "argument",
    ) -> dict[str, int]:
        """Check a call and return its sizes, ``{"time": T, "batch": B, ...}``.

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
        sizes = self._untimed
        for spec, value in zip(self.inputs, inputs, strict=True):
            spec.bind(value, sizes, where)
        self._check_counts(inputs, sizes, where)
        first, given = self.sequence, f"{sizes[TIME]} time steps and {sizes[BATCH]} rows"
        if 0 in sizes.values():
            expected = "at least one time step, one row, and one entry of each context"
            remedy = "Leave the call out: without a time step the state is unchanged."
            raise InputError(mismatch(f"{where} {first.name!r}", expected, given, remedy))
        if sizes[TIME] < self.least:
            expected, got = f"at least {self.least} time steps", str(sizes[TIME])
            remedy = "Pad the inputs: the module takes no fewer."
            raise InputError(mismatch(f"{where} {first.name!r}", expected, got, remedy))
        for leaf, value in zip(self.state, state, strict=True):
            leaf.bind(value, sizes, where)
        if lengths is not None:
            LENGTHS.bind(lengths, sizes, where)
            if not ((lengths >= 0) & (lengths <= sizes[TIME])).all():
                expected = f"numbers of time steps from 0 to {sizes[TIME]}"
                remedy = "Give each row the number of its own time steps."
                raise InputError(mismatch(f"{where} 'lengths'", expected, lengths.tolist(), remedy))
        return sizes

    def _check_counts(self, inputs: Sequence[Shaped], sizes: dict[str, int], where: str) -> None:
        for spec, counts in zip(self.inputs, inputs, strict=True):
            if not spec.counts_steps or not isinstance(counts, np.ndarray):
                continue
            if not ((counts >= 1) & (counts <= sizes[TIME])).all():
                expected = f"numbers of time steps from 1 to {sizes[TIME]}"
                remedy = "Give each row the number of its own time steps."
                raise InputError(mismatch(f"{where} {spec.name!r}", expected, counts.tolist(), remedy))

    def check_ids(self, inputs: Sequence[Array], lengths: Array | None, where: str = "argument") -> None:
        """Check the token ids of a call that :meth:`check_call` has passed; not those behind the lengths.

        Raises:
            InputError: one is not in the vocabulary.
        """
        for spec, ids in zip(self.inputs, inputs, strict=True):
            if spec.vocabulary is None or _within(ids, spec.vocabulary):
                continue
            wrong = (ids < 0) | (ids >= spec.vocabulary)
            if lengths is not None and spec.time_axis is not None:
                steps = np.arange(ids.shape[spec.time_axis])
                within = steps[:, None] < lengths
                wrong &= within if spec.time_axis < spec.batch_axis else within.T
            if wrong.any():
                place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
                position = ", ".join(f"{axis} {at}" for axis, at in zip(spec.shape, place, strict=True))
                expected, got = f"token ids from 0 to {spec.vocabulary - 1}", f"{ids[place]} at {position}"
                remedy = "Pass ids of the vocabulary that the model was made for."
                raise InputError(mismatch(f"{where} {spec.name!r}", expected, got, remedy))


def _without_time(shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return tuple(size for size in shape if size != TIME)


def _within(ids: Array, vocabulary: int) -> bool:
    """Whether a few ids are known, behind the lengths as well; of many it is not looked at."""
    few = ids.ravel().tolist() if ids.size <= FEW else [-1]
    return min(few) >= 0 and max(few) < vocabulary


def identifier(name: str) -> str:
    """Make a name that C and other languages can write out of a model's name.

    >>> identifier("2 nets-v1")
    'model_2_nets_v1'
    """
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "model"
    return f"model_{plain}" if plain[0].isdigit() else plain
