"""A module with its example, and what a call of it looks like: found by calling it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, RnnExportError, class_name, mismatch
from rnn_export.module import attributes
from rnn_export.module.attributes import CHANGES, KeptError, watched
from rnn_export.module.axes import SHORT, Axes, FlattenedError, check_state, find_axes, shorter
from rnn_export.module.call_specs import input_specs, output_specs, state_specs
from rnn_export.module.calling import ANOTHER_EXAMPLE, Calling, OtherCallError, Reading, describe, read
from rnn_export.module.candidates import Said
from rnn_export.module.counts import a_state_counts, clamped, find_counts
from rnn_export.module.free_sizes import a_state_grows, free_sizes, named_sizes
from rnn_export.module.interface import check_kinds, check_new_state
from rnn_export.module.naming import Names
from rnn_export.module.output_length import Inputs, Run, fewest, narrowed, size_along
from rnn_export.module.purity import check_calls
from rnn_export.module.rows import rows_are_apart
from rnn_export.module.starts import (
    as_numbers,
    begun_alike,
    begun_with,
    check_left_out,
    learned_start,
    own_start,
)
from rnn_export.module.wrappers import Flat, Unflattened, original_of
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tree import map_leaves, names_of, renamed_tree, tree_leaves, tree_of


@dataclass(frozen=True)
class Subject:
    """A module with its example: a copy on the CPU in eval mode, and what a call of it looks like.

    ``sample`` holds the example's inputs, ``inputs`` and ``state`` a few time steps and rows of the example:
    no file depends on how many there are. ``extra`` is what the module returns beside its outputs and a state
    that it takes. ``counted`` is the module as it takes the number of time steps of each row, where this is
    that module on rows that have all of them: what is left if no step of this can be captured. ``remarks``
    are what the user is told of it if it is the form that is exported.
    """

    model: nn.Module
    calling: Calling
    sample: Inputs
    inputs: Inputs
    state: tuple[Tensor, ...]
    signature: Signature
    extra: tuple[Tensor, ...] = ()
    counted: "Subject | None" = None
    remarks: tuple[str, ...] = ()

    def flat(self, model: nn.Module | None = None) -> Flat:
        """Give the module, or a copy of it, as ``(*inputs, *state) -> (*outputs, *new_state)``."""
        names = [leaf.name for leaf in self.signature.state]
        returned = [leaf.name for leaf in self.signature.returned_state]
        return Flat(self.model if model is None else model, self.calling, names, returned)

    @property
    def arguments(self) -> list[Tensor]:
        """Copies of the inputs and of the leaves of the state, which a call may change."""
        return [tensor.clone() for tensor in (*self.inputs, *self.state)]

    @property
    def steps(self) -> int:
        """The example's number of time steps."""
        return self.signature.sizes(self.sample)[TIME]

    @property
    def batch(self) -> int:
        """The example's batch."""
        return self.signature.sizes(self.sample)[BATCH]

    @property
    def original(self) -> nn.Module:
        """The user's module, without what this package puts around it."""
        return original_of(self.model)

    @property
    def class_name(self) -> str:
        """The qualified name of the module's class."""
        name = f"{type(self.original).__module__}.{type(self.original).__qualname__}"
        return str(getattr(self.original, "original_name", name))  # that of a module that was scripted

    @property
    def source_modules(self) -> list[str]:
        """The Python modules that define the net's classes, PyTorch's own left out."""
        names = {type(module).__module__ for module in self.original.modules()}
        return sorted(name for name in names if name.partition(".")[0] != "torch")


@dataclass(frozen=True)
class _Calls:
    """Calls a module, with its state or without, and reads what it returns."""

    model: nn.Module
    outputs: tuple[str, ...]
    alone: bool  # whether it is called without a state, where there is none

    def call(self, inputs: Inputs, state: Any) -> Any:
        return _run(self.model, inputs, *(() if state is None and self.alone else (state,)))

    def run(self, inputs: Inputs, state: Any) -> Reading:
        return read(self.call(inputs, state), inputs[0].shape[:2], self.outputs)

    def outputs_alone(self, inputs: Inputs, state: Any) -> Reading:
        return replace(self.run(inputs, state), state=[])

    def left_out(self, inputs: Inputs) -> Reading:
        return read(_run(self.model, inputs), inputs[0].shape[:2], self.outputs)


def find_out(
    model: nn.Module,
    inputs: Inputs,
    state: Any,
    begin: Callable[[int], Any] | None,
    names: Names,
    alone: bool,
    said: Said,
) -> Subject:
    """Find out what a call of the module looks like.

    Args:
        model: is called ``model(*inputs, state)``; the state is left out if it is ``alone``.
        inputs: the example's.
        state: the example's, or ``None``.
        begin: gives the module's initial state for a batch, if it has one.
        names: of what goes in and comes out; without any of the state they are numbered.
        alone: whether the module is called without a state if there is none.
        said: what the user says of the axes.

    Raises:
        OtherCallError: it is none of the calls ``(*inputs, state) -> (*outputs, state)``.
        InputError: the example leaves it open which axis is which.
        ModelError: the results do not follow time and batch, or two calls differ.
    """
    try:
        return _found_out(model, inputs, state, begin, names, alone, said)
    except FlattenedError as found:
        apart = _unflattened(model, inputs, state, names, alone, found)
        subject = _found_out(apart, inputs, state, begin, names, alone, said)
        outputs = tuple(
            replace(spec, flattened=number in found.outputs)
            for number, spec in enumerate(subject.signature.outputs)
        )
        return replace(subject, signature=replace(subject.signature, outputs=outputs))


def _unflattened(
    model: nn.Module, inputs: Inputs, state: Any, names: Names, alone: bool, found: FlattenedError
) -> Unflattened:
    """Take time and batch of outputs apart, in the order in which rows have nothing to do with each other.

    Raises:
        ModelError: it is neither.
    """
    for order in ((TIME, BATCH), (BATCH, TIME)):
        apart = Unflattened(model, found.time, found.batch, dict.fromkeys(found.outputs, order)).eval()
        run = _Calls(apart, names.outputs, alone).run
        if rows_are_apart(run, inputs, state, found.time, found.batch):
            return apart
    remedy = "Return the outputs with an axis for time and one for the batch."
    got = "one axis for both, in which they cannot be told apart"
    raise ModelError(mismatch("outputs of forward()", "time and batch", got, remedy)) from found


def _found_out(
    model: nn.Module,
    inputs: Inputs,
    state: Any,
    begin: Callable[[int], Any] | None,
    names: Names,
    alone: bool,
    said: Said,
) -> Subject:
    calls, sample = _Calls(model, names.outputs, alone), inputs
    check_state(inputs, state, begin)
    inputs = shorter(calls.run, inputs, state, begin)
    if begin is not None and state is None:
        state = _begun(calls.run, inputs, begin)
    check_calls(model, lambda inputs: calls.call(inputs, state), inputs)
    reading, kept = watched(model, lambda: calls.run(inputs, state))
    check_kinds("result of forward()", reading.tensors, ModelError)
    if state is not None and reading.state:
        check_new_state(tree_leaves(state), reading.state)
    elif state is not None and begin is None:
        raise OtherCallError("its second argument does not come back")
    taken = own_start(calls.run, inputs, reading) if state is None else state
    extra = tuple(reading.state) if taken is None else ()
    try:
        run = calls.outputs_alone if extra else calls.run
        axes = find_axes(run, inputs, state, begin, said, names.of_inputs)
        if kept and axes.time.count(None) == len(inputs):
            raise ModelError("what keeps a state takes a sequence")
    except RnnExportError as error:
        if kept:
            raise KeptError(f"{class_name(model)}: a call {CHANGES.format(', '.join(kept))}") from error
        raise
    leaves = () if taken is None else tuple(tree_leaves(taken))
    if leaves and names.takes and a_state_grows(calls.run, inputs, taken, axes):
        raise OtherCallError("a tensor that comes back is as long as the sequences: it is no state")
    if leaves and a_state_counts(calls.run, inputs, taken, axes.time):
        raise OtherCallError("a tensor that comes back counts time steps: it is no state")
    state_names = names.state or (() if taken is None else names_of(taken))
    tree = None if taken is None else tree_of(taken, state_names)
    begun = _begin(calls, inputs, taken, begin, axes)
    counts = find_counts(calls.run, inputs, taken, axes.time)

    def shortened(steps: int) -> Inputs:
        return clamped(narrowed(inputs, axes.time, steps), counts, steps)

    free, remarks = free_sizes(calls.run, inputs, taken, axes)
    sizes = named_sizes(free, names.inputs)
    signature = Signature(
        inputs=input_specs(names.inputs, inputs, axes, sizes, counts),
        state=state_specs(state_names, leaves, axes, begun),
        outputs=output_specs(names.outputs, reading.outputs, axes, sizes),
        tree=tree or {"tuple": []},
        returns_state=bool(reading.state) or not leaves,
        least=fewest(lambda few: calls.run(few, taken), shortened, size_along(inputs, axes.time)),
    )
    if names.takes:
        signature = signature.in_order(names.takes, names.gives)
    own = [*names.outputs, *names_of(reading.state)]
    called = dict(zip(own, own, strict=True)) | dict(zip(names_of(reading.state), state_names, strict=False))
    calling = Calling(tree, renamed_tree(reading.gives, called), names.outputs, len(inputs), reading.listed)
    few = narrowed(shortened(SHORT), axes.batch, SHORT)
    subject = Subject(model, calling, sample, few, narrowed(leaves, axes.state, SHORT), signature, extra)
    given = subject.arguments
    subject.flat()(*given)
    in_place = any(argument._version for argument in given)
    return replace(subject, calling=replace(calling, in_place=in_place), remarks=tuple(remarks))


def _begin(
    calls: _Calls, inputs: Inputs, state: Any, begin: Callable[[int], Any] | None, axes: Axes
) -> list[Any]:
    """Give what each leaf of the state begins with, as numbers; check that the module begins so by itself."""
    if state is None:
        return []
    first, leaves = None, tree_leaves(state)
    if begin is not None:
        first = begun_alike(begin, size_along(inputs, axes.batch), axes.state)
    else:
        known = attributes.starts(calls.model)
        first = learned_start(calls.left_out, calls.run, inputs, state, axes.state, known)
    rows = first or [
        torch.zeros_like(leaf.select(axis, 0)) for leaf, axis in zip(leaves, axes.state, strict=True)
    ]
    numbers = [0 if first is None else as_numbers(number, row) for number, row in enumerate(rows)]
    check_left_out(calls.left_out, calls.run, inputs, begun_with(rows, state, axes.state))
    return numbers


def _run(model: nn.Module, inputs: Inputs, *state: Any) -> Any:
    """Run a module on copies: it may change its arguments."""
    own = [None if part is None else map_leaves(part, torch.clone) for part in state]
    try:
        return model(*(tensor.clone() for tensor in inputs), *own)
    except Exception as error:
        given = ", ".join(map(describe, inputs))
        raise InputError(
            f"{class_name(original_of(model))} failed on inputs {given}, state {describe(state)}: {error}. "
            f"{ANOTHER_EXAMPLE}"
        ) from error


def _begun(run: Run, inputs: Inputs, begin: Callable[[int], Any]) -> Any:
    """Begin with the module's own state, for the axis of the inputs that turns out to be the batch."""
    try:
        run(inputs, begin(inputs[0].shape[1]))
    except InputError:
        return begin(inputs[0].shape[0])
    return begin(inputs[0].shape[1])
