"""Golden vectors: calls with the results of eager PyTorch, for any language to compare itself with.

``tensors.bin`` holds raw little-endian tensors, row-major, each at a multiple of eight bytes;
``index.json`` lists the calls and where their tensors lie. Of a large result each ``every``-th number is
there (:mod:`rnn_export.bundle.thinned`). Calls with a NaN or an infinity in their inputs
are in a list of their own, ``non_finite``: no tolerance says what NaN is compared with.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from rnn_export.bundle.untrusted import schema
from rnn_export.bundle.untrusted.files import Read
from rnn_export.bundle.untrusted.json_text import JSON_BYTES, parse
from rnn_export.errors import BundleError, InputError, mismatch
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, TensorSpec

INDEX = "golden/index.json"
TENSORS = "golden/tensors.bin"
ALIGNMENT = 8

RUN = "run"  # a sequence from its start; the state feeds back
STEP = "step"  # one time step from states that eager reached; every row is another moment of a run

RESULTS = ("float32", "float64", "rounding", "undecided")  # the parts of a case that are not its call
MOST_NUMBERS = 1 << 28  # of results of which a file holds some

OF_ROUNDING = {"rounding": "float32", "undecided": "bool"}  # the dtype of what a case says of rounding

ORDINARY = "ordinary"  # inputs as large as the example's
LARGE = "large"  # many times as large
TINY = "tiny"  # many times as small, where the module tells them from zeros
NON_FINITE = "non-finite"  # some rows hold a NaN or an infinity; the others may not notice


@dataclass(frozen=True)
class Case:
    """One call and what eager makes of it.

    ``float32`` and ``float64`` hold the outputs and every leaf of the new state, as computed by the module
    in these precisions from the same inputs and state. ``values`` says what the inputs are like: the errors
    of large ones say nothing of ordinary ones. ``rounding`` says for each number how far from
    ``float64`` rounding can take it in the net's precision; it is empty for the runs of a net that forgets
    rounding errors, where eager's own error says enough. ``undecided`` says the same of results that are not
    floats, in order: where rounding may turn a whole number or a truth value into another one.

    Of large results not all numbers are kept: in flat order, each ``every``-th of a result. The others are
    zeros, in what :meth:`kept` gives as well. Of results that are whole it is 1, and empty if all are.
    """

    name: str
    kind: str
    time: int
    batch: int
    inputs: tuple[Array, ...]
    state: tuple[Array, ...]
    lengths: Array | None
    float32: tuple[Array, ...]
    float64: tuple[Array, ...]
    rounding: tuple[Array, ...] = ()
    values: str = ORDINARY
    undecided: tuple[Array, ...] = ()
    every: tuple[int, ...] = ()

    @property
    def arguments(self) -> tuple[Array, ...]:
        """The call's arguments, in the order of the signature."""
        return (*self.inputs, *self.state, *([] if self.lengths is None else [self.lengths]))

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All that a case holds."""
        return (*self.arguments, *self.float32, *self.float64, *self.rounding, *self.undecided)

    def is_whole(self, place: int) -> bool:
        """Whether all numbers of a result are kept."""
        return not self.every or self.every[place] == 1

    def kept(self, results: Sequence[Array]) -> list[Array]:
        """Give results with zeros in place of the numbers that are not kept."""
        if not self.every:
            return [*results]
        return [only(array, each) for array, each in zip(results, self.every, strict=True)]

    def stored(self, part: str) -> list[tuple[Array, int]]:
        """Give the arrays of a part of results, each with which numbers are kept: one of so many."""
        arrays: tuple[Array, ...] = getattr(self, part)
        every = self.every or (1,) * len(self.float64)
        if part == "undecided":
            results = zip(every, self.float64, strict=True)
            every = tuple(each for each, array in results if array.dtype.kind != "f")
        return list(zip(arrays, every, strict=True)) if arrays else []

    def results(self, dtype: str) -> tuple[Array, ...]:
        """Give what eager computes in ``"float64"``, or for any other dtype in ``"float32"``."""
        return self.float64 if dtype == "float64" else self.float32


@dataclass(frozen=True)
class Dynamics:
    """What a net does to rounding errors.

    Attributes:
        exponent: the largest Lyapunov exponent, per time step: the natural logarithm of the factor by which
            a small difference of the state grows.
        step_error: the rounding error of one time step, relative to the state.
        terms: the number of terms of the longest sum of products in a step.
        agreement: the relative difference up to which two runs are said to agree.
        horizon: the number of time steps for which any implementation in the net's precision can be expected
            to agree with another; ``None`` if there is no end in sight.
    """

    exponent: float
    step_error: float
    terms: int
    agreement: float
    horizon: int | None


@dataclass(frozen=True)
class Golden:
    """The calls of a bundle, and what the net does to rounding errors; ``None`` if that is not known."""

    cases: list[Case]
    dynamics: Dynamics | None = None


def write(folder: Path, golden: Golden, signature: Signature, tolerances: dict[str, list[float]]) -> None:
    """Write golden vectors into a bundle's folder, each case with one tolerance a result."""
    blob = bytearray()

    def place(array: Array, every: int = 1) -> dict[str, Any]:
        blob.extend(b"\0" * (-len(blob) % ALIGNMENT))
        little = array.astype(array.dtype.newbyteorder("<"), order="C")
        entry = {"dtype": array.dtype.name, "shape": list(array.shape), "offset": len(blob)}
        blob.extend(little.reshape(-1)[::every].tobytes())
        return entry | ({"every": every} if every > 1 else {})

    def place_part(case: Case, part: str, names: Sequence[str]) -> dict[str, Any]:
        arrays = case.stored(part)
        return {name: place(*array) for name, array in zip(names, arrays, strict=True)} if arrays else {}

    def entry(case: Case) -> dict[str, Any]:
        undecided = place_part(case, "undecided", [*_discrete(signature)])
        given = zip(signature.input_names, case.arguments, strict=True)
        return {
            "name": case.name,
            "kind": case.kind,
            "values": case.values,
            "time": case.time,
            "batch": case.batch,
            "call": {name: place(array) for name, array in given},
            "float32": place_part(case, "float32", signature.output_names),
            "float64": place_part(case, "float64", signature.output_names),
            "rounding": place_part(case, "rounding", signature.output_names),
            "tolerance": dict(zip(signature.output_names, tolerances[case.name], strict=True)),
            **({"undecided": undecided} if undecided else {}),
        }

    index = {
        "tensors": Path(TENSORS).name,
        "byte_order": "little",
        "dynamics": golden.dynamics and asdict(golden.dynamics),
        "cases": [entry(case) for case in golden.cases if case.values != NON_FINITE],
        "non_finite": [entry(case) for case in golden.cases if case.values == NON_FINITE],
    }
    (folder / INDEX).parent.mkdir()
    (folder / TENSORS).write_bytes(blob)
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")


def read(folder: Path, signature: Signature, bytes_of: Read = Path.read_bytes) -> Golden:
    """Read the golden vectors of a bundle's folder; ``bytes_of`` gives what a file of it holds.

    Raises:
        BundleError: the index is not one, or names a tensor that is not there or not one of the call.
    """
    where = str(folder / INDEX)
    content, blob = bytes_of(folder / INDEX), bytes_of(folder / TENSORS)
    if len(content) > JSON_BYTES:
        raise BundleError(mismatch(where, f"at most {JSON_BYTES} bytes", f"{len(content)}", "Do not use it."))
    index = schema.typed(parse(content, where), schema.Index, where)
    entries = [*index.cases, *index.non_finite]
    schema.distinct((entry.name for entry in entries), where)
    try:
        _check_places(entries, len(blob))
        cases = [_case(entry, blob, signature) for entry in entries]
        for case in cases:
            signature.check_call(case.inputs, case.state, case.lengths, where)
    except (KeyError, ValueError, InputError) as error:
        raise BundleError(f"{where} cannot be read: {error}. Export the bundle again.") from error
    return Golden(cases, None if index.dynamics is None else Dynamics(**structs.asdict(index.dynamics)))


def _check_places(entries: Sequence[schema.Case], size: int) -> None:
    """Check that no byte stands for two numbers, nor few for many: a small file would take much memory."""
    every = [place for entry in entries for part in RESULTS for place in getattr(entry, part).values()]
    places = [place for entry in entries for place in entry.call.values()] + every
    sizes = [_stored(place) * np.dtype(place.dtype).itemsize for place in places]
    end = max((place.offset + own for place, own in zip(places, sizes, strict=True)), default=0)
    if end > size:
        raise ValueError(f"a tensor ends at byte {end} of {size}")
    if sum(sizes) > size:
        raise ValueError("expected a place of its own for every tensor")
    if any(place.every > 1 for entry in entries for place in entry.call.values()):
        raise ValueError("expected all numbers of what a call takes")
    if sum(prod(place.shape) for place in every if place.every > 1) > MOST_NUMBERS:
        raise ValueError(f"expected results of at most {MOST_NUMBERS} numbers, of which some are kept")


def _stored(place: schema.Place) -> int:
    """Count the numbers that a file holds of a tensor."""
    return -(-prod(place.shape) // place.every)


def _case(entry: schema.Case, blob: bytes, signature: Signature) -> Case:
    sizes = {TIME: entry.time, BATCH: entry.batch}
    for spec in signature.inputs:
        shape = entry.call[spec.name].shape if spec.name in entry.call else []
        free = zip(spec.shape, shape, strict=False)
        sizes = {str(name): size for name, size in free if name in signature.free_sizes} | sizes

    def arrays(part: str, names: Sequence[str], specs: Sequence[TensorSpec]) -> tuple[Array, ...]:
        places: dict[str, schema.Place] = getattr(entry, part)
        if sorted(places) != sorted(names):
            raise ValueError(f"case {entry.name!r}, {part}: expected {sorted(names)}, got {sorted(places)}")
        return tuple(
            _tensor(places[name], blob, in_precision(spec.dtype, part), spec.sized(**sizes))
            for name, spec in zip(names, specs, strict=True)
        )

    count = len(signature.inputs)
    given = arrays("call", signature.input_names, signature.arguments)
    inputs, state = given[:count], given[count : count + len(signature.state)]
    lengths = given[-1] if signature.lengths else None
    single, double = (
        arrays(part, signature.output_names, signature.results) for part in ("float32", "float64")
    )
    rounding = arrays("rounding", signature.output_names, signature.results) if entry.rounding else ()
    discrete = _discrete(signature)
    undecided = arrays("undecided", [*discrete], [*discrete.values()]) if entry.undecided else ()
    every = tuple(entry.float64[name].every for name in signature.output_names)
    if any(
        getattr(entry, part)[name].every != entry.float64[name].every
        for part in RESULTS
        for name in getattr(entry, part)
    ):
        raise ValueError(f"case {entry.name!r}: expected the same numbers of a result in all precisions")
    if sorted(entry.tolerance) != sorted(signature.output_names):
        raise ValueError(f"case {entry.name!r}: expected a tolerance of {signature.output_names}")
    return Case(
        entry.name,
        entry.kind,
        entry.time,
        entry.batch,
        inputs,
        state,
        lengths,
        single,
        double,
        rounding,
        entry.values,
        undecided,
        every if any(each > 1 for each in every) else (),
    )


def _discrete(signature: Signature) -> dict[str, TensorSpec]:
    """Give the results that are not of floats, by name."""
    results = zip(signature.output_names, signature.results, strict=True)
    return {name: spec for name, spec in results if np.dtype(spec.dtype).kind != "f"}


def in_precision(dtype: str, precision: str) -> str:
    """Give the dtype that a tensor has as a result in a precision; in a ``"call"`` it has its own.

    >>> in_precision("float32", "float64"), in_precision("int64", "float64")
    ('float64', 'int64')
    >>> in_precision("int64", "rounding"), in_precision("int64", "undecided")
    ('float32', 'bool')
    """
    if precision in OF_ROUNDING:
        return OF_ROUNDING[precision]
    return precision if precision != "call" and dtype.startswith("float") else dtype


def _tensor(place: schema.Place, blob: bytes, name: str, shape: tuple[int, ...]) -> Array:
    if (place.dtype, tuple(place.shape)) != (name, shape):
        raise ValueError(f"expected a tensor of {name} {list(shape)}, got {place.dtype} {place.shape}")
    dtype = np.dtype(name).newbyteorder("<")
    end = place.offset + _stored(place) * dtype.itemsize
    if end > len(blob):
        raise ValueError(f"a tensor ends at byte {end} of {len(blob)}")
    array = np.frombuffer(blob, dtype, _stored(place), place.offset)
    if place.every > 1:
        array, kept = np.zeros(prod(shape), dtype), array
        array[:: place.every] = kept
    array = array.reshape(shape)
    return array if sys.byteorder == "little" else array.astype(dtype.newbyteorder("="))


def only(array: Array, every: int) -> Array:
    """Give the numbers of an array that are kept, with zeros in place of the others.

    >>> only(np.array([[1, 2, 3], [4, 5, 6]]), 2)
    array([[1, 0, 3],
           [0, 5, 0]])
    """
    if every == 1:
        return array
    found = np.zeros_like(array, order="C")
    found.reshape(-1)[::every] = array.reshape(-1)[::every]
    return found
