"""Golden vectors: calls with the results of eager PyTorch, for any language to compare itself with.

``tensors.bin`` holds raw little-endian tensors, row-major, each at a multiple of eight bytes;
``index.json`` lists the calls and where their tensors lie.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnn_export.errors import BundleError
from rnn_export.signature import Array, Signature

INDEX = "golden/index.json"
TENSORS = "golden/tensors.bin"
ALIGNMENT = 8

RUN = "run"  # a sequence from its start; the state feeds back
STEP = "step"  # one time step from states that eager reached; every row is another moment of a run


@dataclass(frozen=True)
class Case:
    """One call and what eager makes of it.

    ``float32`` and ``float64`` hold the outputs and every leaf of the new state, as computed by the module
    in these precisions from the same inputs and state. ``rounding`` says for each number how far from
    ``float64`` rounding can take it in the net's precision; it is empty for the runs of a net that forgets
    rounding errors, where eager's own error says enough.
    """

    name: str
    kind: str
    time: int
    batch: int
    inputs: Array
    state: tuple[Array, ...]
    lengths: Array | None
    float32: tuple[Array, ...]
    float64: tuple[Array, ...]
    rounding: tuple[Array, ...] = ()

    @property
    def arguments(self) -> tuple[Array, ...]:
        """The call's arguments, in the order of the signature."""
        return (self.inputs, *self.state, *([] if self.lengths is None else [self.lengths]))

    def results(self, dtype: str) -> tuple[Array, ...]:
        """Give what eager computes in ``"float32"`` or ``"float64"``."""
        return {"float32": self.float32, "float64": self.float64}[dtype]


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

    def place(array: Array) -> dict[str, Any]:
        blob.extend(b"\0" * (-len(blob) % ALIGNMENT))
        little = array.astype(array.dtype.newbyteorder("<"), order="C")
        entry = {"dtype": array.dtype.name, "shape": list(array.shape), "offset": len(blob)}
        blob.extend(little.tobytes())
        return entry

    def place_all(names: Sequence[str], arrays: Sequence[Array]) -> dict[str, Any]:
        return {name: place(array) for name, array in zip(names, arrays, strict=True)}

    index = {
        "tensors": Path(TENSORS).name,
        "byte_order": "little",
        "dynamics": golden.dynamics and asdict(golden.dynamics),
        "cases": [
            {
                "name": case.name,
                "kind": case.kind,
                "time": case.time,
                "batch": case.batch,
                "call": place_all(signature.input_names, case.arguments),
                "float32": place_all(signature.output_names, case.float32),
                "float64": place_all(signature.output_names, case.float64),
                "rounding": place_all(signature.output_names, case.rounding) if case.rounding else {},
                "tolerance": dict(zip(signature.output_names, tolerances[case.name], strict=True)),
            }
            for case in golden.cases
        ],
    }
    (folder / INDEX).parent.mkdir()
    (folder / TENSORS).write_bytes(blob)
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")


def read(folder: Path, signature: Signature) -> Golden:
    """Read the golden vectors of a bundle's folder.

    Raises:
        BundleError: the index names a tensor that is not there.
    """
    blob = (folder / TENSORS).read_bytes()
    try:
        index = json.loads((folder / INDEX).read_text())
        dynamics = index["dynamics"] and Dynamics(**index["dynamics"])
        return Golden([_case(entry, blob, signature) for entry in index["cases"]], dynamics)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / INDEX} cannot be read: {error!r}. Export the bundle again.") from error


def _case(entry: dict[str, Any], blob: bytes, signature: Signature) -> Case:
    def arrays(part: str, names: Sequence[str]) -> tuple[Array, ...]:
        return tuple(_tensor(entry[part][name], blob) for name in names)

    inputs, *state = arrays("call", signature.input_names)
    lengths = state.pop() if signature.lengths else None
    return Case(
        entry["name"],
        entry["kind"],
        entry["time"],
        entry["batch"],
        inputs,
        tuple(state),
        lengths,
        arrays("float32", signature.output_names),
        arrays("float64", signature.output_names),
        arrays("rounding", signature.output_names if entry["rounding"] else []),
    )


def _tensor(entry: dict[str, Any], blob: bytes) -> Array:
    dtype = np.dtype(entry["dtype"]).newbyteorder("<")
    count = int(np.prod(entry["shape"], dtype=np.int64))
    array = np.frombuffer(blob, dtype, count, entry["offset"]).reshape(entry["shape"])
    return array if sys.byteorder == "little" else array.astype(dtype.newbyteorder("="))
