"""A bundle behind the Open Inference Protocol v2: requests that a server has read, to arrays, to answers.

A server reads HTTP and gRPC itself. What it hands on, tensors and parameters, is checked here against the
bundle's signature; what is wrong is an ``InputError`` whose message names it, and changes no sequence.

https://github.com/kserve/open-inference-protocol
"""

import asyncio
import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import InputError, mismatch
from rnn_export.fleets.sequences import IDLE_SECONDS, LIMIT, Sequences
from rnn_export.runtimes.load import load
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import LENGTHS, Array, InputSpec, StateSpec, TensorSpec

DATATYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "bool": "BOOL"}
LONGEST_ID = 128
# The kinds of numbers that a list may hold for a dtype: none that would change its kind.
KINDS = {"float32": "iuf", "float64": "iuf", "int64": "i", "bool": "b"}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a request.

    Attributes:
        name: of an input, of a leaf of the state, or ``lengths``.
        datatype: in the protocol's words.
        shape: as it was sent.
        data: numbers in a list, flat or nested, or little-endian bytes.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | bytes


@dataclass(frozen=True)
class Answer:
    """The arrays that were asked for, by name, and the parameters of the answer."""

    outputs: dict[str, Array]
    parameters: dict[str, Any]


@dataclass(frozen=True)
class _About:
    """What the parameters of a request say of its sequence."""

    sequence_id: str
    start: bool
    end: bool


class Served:
    """A bundle that answers requests; sequences keep their state between them.

    Args:
        folder: a bundle.
        runtime: as for :func:`rnn_export.load`.
        threads: as there.
        max_sequences: how many there may be at a time.
        idle_seconds: after which a sequence is forgotten.

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written.
        RuntimeUnavailableError: the runtime is not installed, or has no file here.
        InputError: a bound is not above zero.
    """

    def __init__(
        self,
        folder: str | Path,
        runtime: str = "onnxruntime",
        threads: int = 1,
        max_sequences: int = LIMIT,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.name = Bundle.open(folder).manifest.name
        self.sequences = Sequences(max_sequences, idle_seconds)
        self._runner = load(folder, runtime, threads)
        self.signature = self._runner.signature
        self._arguments = {spec.name: spec for spec in self.signature.arguments}

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Describe what goes in, as the metadata of a model does."""
        return [_described(spec, **_role(spec)) for spec in self.signature.arguments]

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Describe what comes out, as the metadata of a model does."""
        leaves = [
            _described(leaf, role="state", input_name=leaf.name) | {"name": leaf.output_name}
            for leaf in self.signature.returned_state
        ]
        return [*(_described(spec, role="output") for spec in self.signature.outputs), *leaves]

    @property
    def _state_names(self) -> list[str]:
        return [leaf.output_name for leaf in self.signature.returned_state]

    async def infer(
        self,
        tensors: Sequence[Tensor],
        parameters: Mapping[str, Any] | None = None,
        wanted: Sequence[str] = (),
        *,
        finite: bool = False,
    ) -> Answer:
        """Answer a request: whole sequences from a state or from the initial one, or a part of a sequence.

        Args:
            tensors: all inputs; for a request that is not about a sequence, also all leaves of the state, or
                none.
            parameters: ``sequence_id``, ``sequence_start``, ``sequence_end``; others are not looked at.
            wanted: names of outputs. None: all of them, with the state unless a sequence keeps it.
            finite: the answer cannot carry NaN and infinities, as JSON.

        Raises:
            InputError: a tensor, a parameter or a name is wrong, or ``finite`` and a result is not; a
                sequence is then what it was.
            BundleError: the file fails.
        """
        about = _about(parameters or {})
        inputs, state, lengths = self._call(tensors, about)
        names = self._wanted(wanted, about)
        if about is None:
            results, _ = await self._run(inputs, state, lengths, names, finite)
            return Answer(results, {})
        async with self.sequences.turn(about.sequence_id, start=about.start) as sequence:
            begun = None if about.start else sequence.state
            if begun:
                self._check_rows(inputs, begun)
            results, after = await self._run(inputs, begun, lengths, names, finite)
            sequence.steps = self._steps(inputs) + (0 if about.start else sequence.steps)
            sequence.state = None if about.end else after
            told = {"sequence_id": about.sequence_id, "steps": sequence.steps}
        return Answer(results, told)

    async def _run(
        self,
        inputs: dict[str, Array],
        state: tuple[Array, ...] | None,
        lengths: Array | None,
        names: Sequence[str],
        finite: bool,
    ) -> tuple[dict[str, Array], tuple[Array, ...]]:
        """Run the model beside the event loop, which goes on reading; give what is wanted, and the state."""
        outputs, after = await asyncio.to_thread(self._runner, inputs, state, lengths)
        several = outputs if isinstance(outputs, dict) else {self.signature.outputs[0].name: outputs}
        results = several | dict(zip(self._state_names, after, strict=True))
        if finite:
            for name in names:
                _check_finite(results[name], name, "Ask for it as binary data, which JSON cannot replace.")
        return {name: results[name] for name in names}, after

    def _call(
        self, tensors: Sequence[Tensor], about: _About | None
    ) -> tuple[dict[str, Array], tuple[Array, ...] | None, Array | None]:
        """Give the inputs of a request by name, the state if there is one, and the lengths."""
        given = dict[str, Array]()
        for tensor in tensors:
            spec = self._arguments.get(tensor.name)
            if spec is None or tensor.name in given:
                expected, got = f"each of {', '.join(self._arguments)} once", repr(tensor.name)
                raise InputError(mismatch("inputs", expected, got, "Name the model's own inputs."))
            given[tensor.name] = decoded(tensor, spec)
        inputs = {spec.name: given.pop(spec.name, None) for spec in self.signature.inputs}
        if missing := [name for name, array in inputs.items() if array is None]:
            raise InputError(mismatch("inputs", ", ".join(inputs), f"no {missing[0]!r}", "Send all of them."))
        lengths = given.pop(LENGTHS.name, None) if self.signature.lengths else None
        if given and about:
            got = ", ".join(given)
            raise InputError(mismatch("inputs", "no state", got, "A sequence keeps its state: leave it out."))
        leaves = [leaf.name for leaf in self.signature.state]
        if given and {*given} != {*leaves}:
            remedy = "Send all of the state, or none."
            raise InputError(mismatch("inputs", ", ".join(leaves), ", ".join(given), remedy))
        state = tuple(given[name] for name in leaves) if given else None
        return {name: array for name, array in inputs.items() if array is not None}, state, lengths

    def _wanted(self, wanted: Sequence[str], about: _About | None) -> list[str]:
        """Give the names of what is asked for."""
        signature = self.signature
        if about and not signature.streamable:
            remedy = "Send the whole sequence in one request, without sequence_id."
            got = f"one that is not: {signature.not_streamable_because}"
            raise InputError(mismatch("sequence_id", "a model that can be streamed", got, remedy))
        names = signature.output_names
        if not wanted:
            return names[: len(signature.outputs)] if about else names
        for name in wanted:
            if name not in names or [*wanted].count(name) > 1:
                expected = f"each of {', '.join(names)} at most once"
                raise InputError(
                    mismatch("outputs", expected, repr(name), "Ask for the model's own outputs.")
                )
        return [*wanted]

    def _check_rows(self, inputs: Mapping[str, Array], state: tuple[Array, ...]) -> None:
        """Check that a part of a sequence is of as many rows as its beginning."""
        sizes = {BATCH: state[0].shape[self.signature.state[0].batch_axis]}
        for spec in self.signature.inputs:
            spec.bind(inputs[spec.name], sizes, "input")

    def _steps(self, inputs: Mapping[str, Array]) -> int:
        arrays = [inputs[spec.name] for spec in self.signature.inputs]
        return self.signature.sizes(arrays)[TIME]


def decoded(tensor: Tensor, spec: TensorSpec) -> Array:
    """Give the array of a tensor; its sizes are left to the signature.

    Raises:
        InputError: it has another datatype, other numbers than its shape says, or some that are none.
    """
    where, wanted = f"input {spec.name!r}", DATATYPES[spec.dtype]
    if tensor.datatype != wanted:
        raise InputError(mismatch(where, wanted, repr(tensor.datatype), f"Convert it to {spec.dtype}."))
    shape = [*tensor.shape]
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
        raise InputError(mismatch(f"{where}: shape", "whole numbers from 0 on", shape, "Send its sizes."))
    data = tensor.data
    flat = _of_bytes(data, spec, where) if isinstance(data, bytes) else _of_list(data, spec, where)
    if flat.size != prod(shape):
        expected = f"{prod(shape)} numbers, as the shape {shape} says"
        raise InputError(mismatch(where, expected, flat.size, "Send as many."))
    if flat.dtype.kind == "f":
        is_state = isinstance(spec, StateSpec)  # one may begin with an infinity, such as that of a maximum
        wrong = np.isnan(flat) if is_state else ~np.isfinite(flat)
        if wrong.any():
            at = int(np.argmax(wrong))
            kind = "a number" if is_state else "a finite number"
            raise InputError(mismatch(f"{where}[{at}]", kind, flat[at], "Send one that float can hold."))
    return flat.reshape(shape)


def _of_bytes(data: bytes, spec: TensorSpec, where: str) -> Array:
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    if len(data) % dtype.itemsize:
        expected = f"a multiple of {dtype.itemsize} bytes"
        raise InputError(mismatch(where, expected, len(data), "Send little-endian numbers."))
    if dtype.kind == "b":
        bits = np.frombuffer(data, np.uint8)
        if (bits > 1).any():
            raise InputError(mismatch(where, "bytes 0 and 1", int(bits.max()), "Send truth values."))
    return np.frombuffer(data, dtype).astype(spec.dtype)


def _of_list(data: Sequence[Any], spec: TensorSpec, where: str) -> Array:
    try:
        flat = np.asarray(data).ravel()
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(mismatch(where, f"{spec.dtype} numbers", f"{error}", "Send a flat list.")) from error
    if not flat.size:
        return flat.astype(spec.dtype)
    if flat.dtype.kind not in KINDS[spec.dtype]:
        got = f"values of {flat.dtype}" if flat.dtype.kind != "O" else "something else"
        raise InputError(mismatch(where, f"{spec.dtype} numbers", got, f"Convert them to {spec.dtype}."))
    with np.errstate(over="ignore"):  # what is too large becomes an infinity, which is refused
        return flat.astype(spec.dtype)


def _check_finite(array: Array, name: str, remedy: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(mismatch(f"output {name!r}", "finite numbers", "NaN or an infinity", remedy))


def _about(parameters: Mapping[str, Any]) -> _About | None:
    """Read what a request says of its sequence; ``None``: it is about none."""
    flags = {name: parameters.get(name, False) for name in ("sequence_start", "sequence_end")}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise InputError(mismatch(name, "true or false", repr(value), "Send one of them."))
    given = parameters.get("sequence_id")
    if given is None:
        if any(flags.values()):
            remedy = "Send one, or no sequence_start and no sequence_end."
            raise InputError(mismatch("sequence_id", "an id beside sequence_start", "none", remedy))
        return None
    named = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(named, str) or not 0 < len(named) <= LONGEST_ID:
        expected = f"a text of 1 to {LONGEST_ID} characters, or a whole number"
        raise InputError(mismatch("sequence_id", expected, repr(given)[:80], "Send one."))
    if multiprocessing.parent_process():
        remedy = "Let the server run the model in its own process, or send the state with each request."
        got = "one of several processes, each with sequences of its own"
        raise InputError(mismatch("sequence_id", "a server of one process", got, remedy))
    return _About(named, flags["sequence_start"], flags["sequence_end"])


def _described(spec: TensorSpec, **parameters: Any) -> dict[str, Any]:
    """Describe a tensor as the protocol does, with what its axes are."""
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    axes = {f"{axis}_axis": spec.shape.index(axis) for axis in (TIME, BATCH) if axis in spec.shape}
    told = {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": shape}
    return {**told, "parameters": {**axes, **parameters}}


def _role(spec: TensorSpec) -> dict[str, Any]:
    """Tell what goes in: a sequence, a context, lengths, or a leaf of the state."""
    if isinstance(spec, InputSpec):
        known = {} if spec.vocabulary is None else {"vocabulary": spec.vocabulary}
        return {"role": spec.role, **known}
    if isinstance(spec, StateSpec):
        initial = {"initial": spec.initial} if isinstance(spec.initial, int | float) else {}
        return {"role": "state", "output_name": spec.output_name, **initial}
    return {"role": LENGTHS.name}
