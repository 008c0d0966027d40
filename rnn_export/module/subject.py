"""What comes in: the user's module and its example, checked before anything is done with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, RnnExportError, warn
from rnn_export.exclusive import LOCK
from rnn_export.module.arguments import (
    Arguments,
    arguments_of,
    begin_arranged,
    readings,
)
from rnn_export.module.attributes import CHANGES, watched
from rnn_export.module.axes import SHORT, Axes, check_state, find_axes, shorter
from rnn_export.module.calling import OUTPUTS, Calling, NestedResultError, Reading, describe, equal, read
from rnn_export.module.copying import copied
from rnn_export.module.interface import check_kinds, check_new_state, refuse_argument
from rnn_export.module.output_length import fewest
from rnn_export.module.preparation import (
    HALVES,
    begin_of,
    check_inputs,
    check_state_dtypes,
    copy_of,
    dtype_of,
    warn_of_nan,
)
from rnn_export.module.purity import check_calls
from rnn_export.module.starts import (
    as_numbers,
    begun_alike,
    begun_with,
    check_left_out,
    learned_start,
    own_start,
)
from rnn_export.module.wrappers import Flat, original_of, over_time
from rnn_export.signature.signature import Signature, StateSpec, TensorSpec
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tree import (
    Tree,
    enumerate_names,
    map_leaves,
    names_of,
    renamed_tree,
    tree_leaves,
    tree_of,
)


@dataclass(frozen=True)
class Subject:
    """A module with its example: a copy on the CPU in eval mode, and what a call of it looks like.

    ``sample`` holds the example's inputs, ``inputs`` and ``state`` a few time steps and rows of the example:
    no file depends on how many there are. ``extra`` is what the module returns beside its outputs and a state
    that it takes.
    """

    model: nn.Module
    calling: Calling
    sample: Tensor
    inputs: Tensor
    state: tuple[Tensor, ...]
    signature: Signature
    extra: tuple[Tensor, ...] = ()

    def flat(self, model: nn.Module | None = None) -> Flat:
        """Give the module, or a copy of it, as ``(inputs, *state) -> (outputs, *new_state)``."""
        names = [leaf.name for leaf in self.signature.state]
        returned = [leaf.name for leaf in self.signature.returned_state]
        return Flat(self.model if model is None else model, self.calling, names, returned)

    @property
    def arguments(self) -> list[Tensor]:
        """Copies of the inputs and of the leaves of the state, which a call may change."""
        return [tensor.clone() for tensor in (self.inputs, *self.state)]

    @property
    def steps(self) -> int:
        """The example's number of time steps."""
        return self.sample.shape[self.signature.inputs.shape.index(TIME)]

    @property
    def batch(self) -> int:
        """The example's batch."""
        return self.sample.shape[self.signature.inputs.batch_axis]

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


def inspect_module(
    model: nn.Module, example: Any, *, kwargs: Mapping[str, Any] | None = None, step: bool = False
) -> Subject:
    """Check a module and its example, and find out what a call looks like.

    Args:
        model: is called ``model(*example, **kwargs)``. It is copied, not changed.
        example: the positional arguments, or a single one. One tensor of them is the inputs, with axes for
            time and batch; all others come back, and are the state.
        kwargs: the keyword arguments.
        step: whether the module takes a single time step, without a time axis.

    Raises:
        InputError: the example is not what the module takes, or leaves it open which axis is which.
        ModelError: the module has parameters of several or of unsupported dtypes, quantized ones, or cannot
            be copied.
    """
    return inspect_readings(model, example, kwargs=kwargs, step=step)[0]


def inspect_readings(
    model: nn.Module, example: Any, *, kwargs: Mapping[str, Any] | None = None, step: bool = False
) -> list[Subject]:
    """As :func:`inspect_module`, for each way to read the call that holds together: at least one."""
    own, modes = copy_of(model)
    arguments = arguments_of(example, kwargs)
    dtype = dtype_of(own, [leaf for _, leaf in arguments.leaves])
    arguments = arguments.mapped(lambda leaf: leaf.to(dtype) if leaf.dtype in HALVES else leaf)
    with LOCK, torch.random.fork_rng(devices=[]), torch.no_grad():
        subjects = _read(own, arguments, dtype, step=step)
        for subject in subjects:
            _warn_of_training_mode(modes, subject)
    warn_of_nan(own)
    return subjects


def _read(own: nn.Module, arguments: Arguments, dtype: torch.dtype, *, step: bool) -> list[Subject]:
    """Read a call as ``(inputs)`` or ``(inputs, state)``, as it stands or, if it is another one, arranged."""
    if not arguments.plain:
        return _read_arranged(own, arguments, dtype, step=step)
    try:
        return [_read_plainly(own, arguments, dtype, step=step)]
    except NestedResultError:
        return _read_arranged(own, arguments, dtype, step=step)


def _read_plainly(own: nn.Module, arguments: Arguments, dtype: torch.dtype, *, step: bool) -> Subject:
    inputs, *rest = arguments.args
    state = rest[0] if rest else None
    check_inputs(inputs, dtype, step=step)
    check_state_dtypes(state, dtype)
    return _looked_at(own, inputs, state, begin_of(own), alone=not rest, step=step)


def _read_arranged(own: nn.Module, arguments: Arguments, dtype: torch.dtype, *, step: bool) -> list[Subject]:
    """Read a call in which the inputs and the state stand anywhere; there may be several ways."""
    subjects, failures = list[Subject](), list[RnnExportError]()
    for arranged, inputs, leaves in readings(own, arguments):
        state = leaves or None
        try:
            check_inputs(inputs, dtype, step=step)
            check_state_dtypes(state, dtype)
            begin = begin_arranged(begin_of(own), state)
            found = _looked_at(arranged, inputs, state, begin, alone=state is None, step=step)
            subjects.append(renamed(found, arranged.names) if arranged.names else found)
        except (InputError, ModelError) as error:
            failures.append(error)
    if not subjects:
        raise failures[0]
    return subjects


def _looked_at(
    own: nn.Module,
    inputs: Tensor,
    state: Any,
    begin: Callable[[int], Any] | None,
    *,
    alone: bool,
    step: bool,
) -> Subject:
    if step:
        state = begin(inputs.shape[0]) if begin and state is None else state
        own, state = over_time(own, inputs, state)
        inputs = inputs[None]
    return _find_out(own, inputs, state, begin, alone)


def _find_out(
    model: nn.Module, inputs: Tensor, state: Any, begin: Callable[[int], Any] | None, alone: bool
) -> Subject:
    """Find out what a call of the module looks like."""

    def run(inputs: Tensor, state: Any) -> Reading:
        result = _run(model, inputs, *(() if state is None and alone else (state,)))
        return read(result, inputs.shape[:2])

    def outputs_alone(inputs: Tensor, state: Any) -> Reading:
        return replace(run(inputs, state), state=[])

    sample = inputs
    check_state(inputs, state, begin)
    inputs = shorter(run, inputs, state, begin)
    if begin is not None and state is None:
        state = _begun(run, inputs, begin)
    check_calls(
        model, lambda inputs: _run(model, inputs, *(() if state is None and alone else (state,))), inputs
    )
    reading, kept = watched(model, lambda: run(inputs, state))
    check_kinds("result of forward()", [reading.outputs, *reading.state], ModelError)
    if state is not None and reading.state:
        check_new_state(tree_leaves(state), reading.state)
    elif state is not None and begin is None:
        refuse_argument(model, state, inputs)
    taken = own_start(run, inputs, reading) if state is None else state
    extra = tuple(reading.state) if taken is None else ()
    try:
        axes = find_axes(outputs_alone if extra else run, inputs, state, begin)
    except RnnExportError as error:
        if kept:
            raise ModelError(f"{type(model).__name__}: a call {CHANGES.format(', '.join(kept))}") from error
        raise
    leaves = () if taken is None else tuple(tree_leaves(taken))
    returns_state = bool(leaves) and bool(reading.state)
    tree = None if taken is None else tree_of(taken, names_of(taken))

    def left_out(inputs: Tensor) -> Reading:
        return read(_run(model, inputs), inputs.shape[:2])

    first = None
    if begin is not None:
        first = begun_alike(begin, inputs.shape[axes.batch], axes.state)
    elif leaves:
        known = [*model.parameters(), *model.buffers()]
        first = learned_start(left_out, run, inputs, taken, axes.state, known)
    signature = _signature(inputs, leaves, axes, reading.outputs, first, tree, returns_state)
    if not leaves:
        signature = replace(signature, least=fewest(run, inputs, axes.time))
    if leaves:
        rows = first or [
            torch.zeros_like(leaf.select(axis, 0)) for leaf, axis in zip(leaves, axes.state, strict=True)
        ]
        check_left_out(left_out, run, inputs, begun_with(rows, taken, axes.state))
    inputs = inputs.narrow(axes.time, 0, min(SHORT, inputs.shape[axes.time]))
    few = [
        leaf.narrow(spec.batch_axis, 0, min(SHORT, leaf.shape[spec.batch_axis]))
        for leaf, spec in zip((inputs, *leaves), signature.arguments, strict=True)
    ]
    calling = Calling(tree, reading.gives, reading.listed)
    subject = Subject(model, calling, sample, few[0], tuple(few[1:]), signature, extra)
    given = subject.arguments
    subject.flat()(*given)
    in_place = any(argument._version for argument in given)
    return replace(subject, calling=replace(calling, in_place=in_place))


def _run(model: nn.Module, inputs: Tensor, *state: Any) -> Any:
    """Run a module on copies: it may change its arguments."""
    own = [None if part is None else map_leaves(part, torch.clone) for part in state]
    try:
        return model(inputs.clone(), *own)
    except Exception as error:
        raise InputError(
            f"{type(model).__name__} failed on inputs {describe(inputs)}, state {describe(state)}: {error}. "
            "Pass an example that model(inputs, state) takes."
        ) from error


def _begun(run: Callable[[Tensor, Any], Reading], inputs: Tensor, begin: Callable[[int], Any]) -> Any:
    """Begin with the module's own state, for the axis of the inputs that turns out to be the batch."""
    try:
        run(inputs, begin(inputs.shape[1]))
    except InputError:
        return begin(inputs.shape[0])
    return begin(inputs.shape[1])


def _warn_of_training_mode(modes: Sequence[bool], subject: Subject) -> None:
    """Say so if the module, as it was given, computes something else than in eval mode."""
    if not any(modes):
        return
    trained = copied(subject.model)
    inner = original_of(trained)
    for module, training in zip(inner.modules(), modes, strict=True):
        module.training = training
    if not equal(subject.flat(trained)(*subject.arguments), subject.flat()(*subject.arguments)):
        warn(
            f"{type(inner).__name__} is in training mode, where it computes something else (dropout or batch "
            "norm, say). A copy in eval mode is exported; call model.eval() to silence this."
        )


def _signature(
    inputs: Tensor,
    leaves: Sequence[Tensor],
    axes: Axes,
    outputs: Tensor,
    first: Sequence[Tensor] | None,
    tree: Tree | None,
    returns_state: bool,
) -> Signature:
    def spec(name: str, tensor: Tensor, free: dict[int | None, str]) -> dict[str, Any]:
        shape = tuple(free.get(k, size) for k, size in enumerate(tensor.shape))
        return {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": shape}

    begun = [0 if first is None else as_numbers(number, first[number]) for number in range(len(leaves))]
    state = tuple(
        StateSpec(**spec(name, leaf, {axis: BATCH}), initial=initial)
        for (name, leaf), axis, initial in zip(enumerate_names(leaves), axes.state, begun, strict=False)
    )
    return Signature(
        inputs=TensorSpec(**spec("inputs", inputs, {axes.time: TIME, axes.batch: BATCH})),
        state=state,
        outputs=TensorSpec(
            **spec(OUTPUTS, outputs, {axes.outputs_time: axes.length, axes.outputs_batch: BATCH})
        ),
        tree=tree or {"tuple": []},
        returns_state=returns_state or not leaves,
    )


def renamed(subject: Subject, names: Sequence[str]) -> Subject:
    """Give the tensors of the state other names."""
    signature, calling = subject.signature, subject.calling
    new = dict(zip([leaf.name for leaf in signature.state], names, strict=True)) | {OUTPUTS: OUTPUTS}
    takes = None if calling.takes is None else renamed_tree(calling.takes, new)
    return replace(
        subject,
        calling=replace(calling, takes=takes, gives=renamed_tree(calling.gives, new)),
        signature=replace(
            signature,
            state=tuple(replace(leaf, name=new[leaf.name]) for leaf in signature.state),
            tree=renamed_tree(signature.tree, new),
        ),
    )
