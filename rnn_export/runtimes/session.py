"""A stream: one time step after another, with the state and all arrays kept from step to step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_export.errors import BundleError, InputError, RnnExportError, mismatch
from rnn_export.failures import explain
from rnn_export.runtimes.arrays import as_array
from rnn_export.runtimes.bound import bind
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, InputSpec

ONE_STEP = "Pass one time step, without the time axis."


class Session:
    """Runs a model time step by time step: ``outputs = session.step(inputs)``.

    A session is for one thread; a runner has any number of them. What :meth:`step` gives is an array that the
    next step writes over: copy what is to stay.

    Args:
        call: runs the model.
        signature: of the call.
        name: of the model, for errors.
        batch: rows of each time step.
        contexts: the inputs that are the same for all time steps, by name.

    Raises:
        InputError: the model takes whole sequences only, or the contexts are not those of the signature.
    """

    def __init__(
        self, call: Call, signature: Signature, name: str, batch: int, contexts: Mapping[str, Any]
    ) -> None:
        if not signature.streamable:
            raise InputError(
                f"session: this model takes whole sequences only: {signature.not_streamable_because}. "
                "Call the runner with the whole sequence."
            )
        self.signature, self.batch, self._name = signature, batch, name
        sizes, given = self._sizes(contexts)
        self._bound = bind(call, signature, sizes)
        for number, value in given.items():
            self._bound.inputs[number][...] = value
        sequences = [number for number, spec in enumerate(signature.inputs) if spec.time_axis is not None]
        self._specs = [signature.inputs[number] for number in sequences]
        self._places = [
            self._bound.inputs[number].squeeze(signature.inputs[number].time_axis) for number in sequences
        ]
        self._outputs = [
            array if spec.time_axis is None else array.squeeze(spec.time_axis)
            for array, spec in zip(self._bound.outputs, signature.outputs, strict=True)
        ]
        self._result: Any = (
            self._outputs[0]
            if len(self._outputs) == 1
            else dict(zip(signature.output_names, self._outputs, strict=False))
        )
        specs = zip(self._bound.inputs, signature.inputs, strict=True)
        self._ids = [(ids.reshape(-1), spec.vocabulary) for ids, spec in specs if spec.vocabulary is not None]
        signature.check_ids(self._bound.inputs, None)
        self._run = self._bound.run

    def __repr__(self) -> str:
        return f"Session of {self._name}\n  call: {self.signature.call}\n  batch: {self.batch}"

    def step(self, inputs: Any) -> Any:
        """Run one time step; give its outputs.

        Args:
            inputs: of one time step, the shape of the signature without the time axis: ``[batch, features]``.
                Several are given by name, in a dict, and several outputs come so.

        Raises:
            InputError: something has another dtype or shape, or a token id is not in the vocabulary.
            BundleError: the file fails.
        """
        alone = len(self._places) == 1 and (type(inputs) is np.ndarray or not isinstance(inputs, Mapping))
        values = (inputs,) if alone else self._named(inputs)
        for value, place, spec in zip(values, self._places, self._specs, strict=True):
            if type(value) is not np.ndarray or value.shape != place.shape or value.dtype != place.dtype:
                value = _checked(value, place, spec)  # noqa: PLW2901
            place[...] = value
        for ids, vocabulary in self._ids:
            known = ids.tolist()
            if min(known) < 0 or max(known) >= vocabulary:
                self.signature.check_ids(self._bound.inputs, None)
        try:
            self._run()
        except RnnExportError:
            raise
        except Exception as error:  # each runtime has exceptions of its own
            raise BundleError(
                f"{explain(self._name, error)}, in a session. Check the bundle with rnn_export.verify()."
            ) from error
        return self._result

    @property
    def state(self) -> tuple[Array, ...]:
        """A copy of the state, in the manifest's order."""
        return tuple(np.array(leaf) for leaf in self._bound.state)

    def reset(self, state: Sequence[Any] | None = None) -> None:
        """Go on from a state; from the initial one if none is given.

        Raises:
            InputError: it has other leaves than the model's state.
        """
        begun = self.signature.initial_state(self.batch)
        given = begun if state is None else state
        if not isinstance(given, tuple | list) or len(given) != len(begun):
            many = f" of {len(given)}" if isinstance(given, tuple | list) else ""
            expected, got = f"a tuple of {len(begun)} arrays", f"{type(given).__name__}{many}"
            remedy = "Pass the state that a session or a runner gave."
            raise InputError(mismatch("argument 'state'", expected, got, remedy))
        sizes = {BATCH: self.batch}
        leaves = list[Array]()
        for value, spec in zip(given, self.signature.state, strict=True):
            leaves.append(as_array(value, spec))
            spec.bind(leaves[-1], sizes, "argument")
        for kept, leaf in zip(self._bound.state, leaves, strict=True):
            kept[...] = leaf

    def _named(self, inputs: Any) -> list[Any]:
        """Give the sequences' values in the signature's order."""
        names = [spec.name for spec in self._specs]
        if isinstance(inputs, Mapping) and {*inputs} == {*names}:
            return [inputs[name] for name in names]
        got = ", ".join(map(repr, inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
        remedy = "Pass a dict with an array for each; contexts are given when a session begins."
        raise InputError(mismatch("argument 'inputs'", ", ".join(map(repr, names)), got or "none", remedy))

    def _sizes(self, contexts: Mapping[str, Any]) -> tuple[dict[str, int], dict[int, Array]]:
        """Give the sizes of all free axes, and the contexts by their numbers among the inputs."""
        sizes, given = {TIME: 1, BATCH: self.batch}, dict[int, Array]()
        expected = [spec.name for spec in self.signature.inputs if spec.time_axis is None]
        if {*contexts} != {*expected}:
            names = ", ".join(map(repr, expected)) or "none"
            got = ", ".join(map(repr, contexts)) or "none"
            remedy = "Pass what is the same for all time steps: runner.session(batch, {name: array})."
            raise InputError(mismatch("argument 'contexts'", names, got, remedy))
        for number, spec in enumerate(self.signature.inputs):
            if spec.time_axis is None:
                given[number] = as_array(contexts[spec.name], spec)
                spec.bind(given[number], sizes, "argument")
        return sizes, given


def _checked(value: Any, place: Array, spec: InputSpec) -> Array:
    """Give what one time step of an input has to be copied from.

    Raises:
        InputError: it has another dtype or shape.
    """
    found = as_array(value, spec)
    if found.shape != place.shape or found.dtype != place.dtype:
        expected, got = (f"{array.dtype} {list(array.shape)}" for array in (place, found))
        raise InputError(mismatch(f"argument {spec.name!r}", expected, got, ONE_STEP))
    return found
