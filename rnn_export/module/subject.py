"""What comes in: the user's module and its example, checked before anything is done with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, RnnExportError, mismatch, warn
from rnn_export.exclusive import LOCK
from rnn_export.module.attributes import CHANGES, watched
from rnn_export.module.axes import SHORT, Axes, check_state, find_axes, shorter
from rnn_export.module.calling import OUTPUTS, Calling, Reading, describe, equal, read
from rnn_export.module.copying import copied
from rnn_export.module.interface import (
    check_dense,
    check_kinds,
    check_new_state,
    check_not_quantized,
    check_wrapping,
    refuse_argument,
)
from rnn_export.module.purity import check_calls
from rnn_export.module.starts import as_numbers, begun_alike, check_left_out, own_start
from rnn_export.module.wrappers import Flat, Wrapper, over_time
from rnn_export.signature.signature import BATCH, TIME, Signature, StateSpec, TensorSpec
from rnn_export.signature.tree import Tree, enumerate_names, map_leaves, names_of, tree_leaves, tree_of

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
CPU = torch.device("cpu")


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
        return self.model.original if isinstance(self.model, Wrapper) else self.model

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


def inspect_module(model: nn.Module, example: Any, *, step: bool = False) -> Subject:
    """Check a module and its example, and find out what a call looks like.

    Args:
        model: takes ``inputs``, or ``(inputs, state)``, and gives ``outputs``, or ``(outputs, new_state)``.
            It is copied, not changed.
        example: ``(inputs, state)``, or ``inputs`` alone. ``inputs`` has the axes time and batch, in either
            order, and then features, or holds token ids (int64) and has no others. ``state`` is a tensor or
            nested tuples and lists of tensors, each with a batch axis; ``None`` for the module's own.
        step: whether the module takes a single time step, without a time axis.

    Raises:
        InputError: the example is not what the module takes, or leaves it open which axis is which.
        ModelError: the module has parameters of several or of unsupported dtypes, quantized ones, or cannot
            be copied.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(mismatch("model", "a torch.nn.Module", type(model).__name__, "Pass an instance."))
    if isinstance(model, torch.jit.ScriptModule) and not model._c._has_method("forward"):
        raise ModelError(
            f"the scripted {model.original_name} has no forward of its own, only overloads, which is how "
            "torch.nn's recurrent layers are compiled. Export the module that was scripted, or script one "
            "that calls it."
        )
    check_not_quantized(model)
    inputs, state, alone = _split(example)
    own = _copy(model)
    modes = [getattr(module, "training", False) for module in own.modules()]  # none if it is frozen
    own.eval()
    dtype = _dtype(own, inputs)
    _check_inputs(inputs, dtype, step)
    _check_dtypes(state, dtype)
    begin = _begin(own)
    with LOCK, torch.random.fork_rng(devices=[]), torch.no_grad():
        called = own
        if step:
            state = begin(inputs.shape[0]) if begin and state is None else state
            called, state = over_time(own, inputs, state)
            inputs = inputs[None]
        subject = _find_out(called, inputs, state, begin, alone)
        _warn_of_training_mode(modes, subject)
    _warn_of_nan(own)
    return subject


def _split(example: object) -> tuple[Tensor, Any, bool]:
    """Give the inputs, the state or ``None``, and whether the inputs come alone."""
    parts = [example] if isinstance(example, Tensor) else example
    if not isinstance(parts, tuple | list) or len(parts) not in (1, 2) or not isinstance(parts[0], Tensor):
        expected = "(inputs, state), or inputs alone, as tensors"
        raise InputError(
            mismatch("example", expected, describe(example), "Pass what one call of the model takes.")
        )
    inputs, state = parts[0], parts[1] if len(parts) == 2 else None
    if state is not None:
        check_wrapping(state)
    check_dense([inputs, *([] if state is None else tree_leaves(state))])
    kept = None if state is None else map_leaves(state, lambda leaf: leaf.detach().cpu())
    return inputs.detach().cpu(), kept, len(parts) == 1


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copied(model)
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} cannot be copied: {error}. The export works on a copy; "
            "make the module work with copy.deepcopy()."
        ) from error


def _dtype(model: nn.Module, inputs: Tensor) -> torch.dtype:
    """Give the dtype of the parameters; of the buffers or the example's inputs, if there are none."""
    kinds = ([*model.parameters()], [*model.buffers()], [inputs], [torch.zeros((), dtype=torch.float32)])
    dtypes = ({tensor.dtype for tensor in kind if tensor.is_floating_point()} for kind in kinds)
    found = next(filter(None, dtypes))
    if len(found) != 1 or not found <= set(DTYPES):
        raise ModelError(
            mismatch(
                "parameters of the model",
                "one dtype, float32 or float64",
                ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found)),
                "Convert it with model.float() or model.double().",
            )
        )
    return found.pop()


def _check_inputs(inputs: Tensor, dtype: torch.dtype, step: bool) -> None:
    tokens = not inputs.is_floating_point()
    axes = "[batch" if step else "[time, batch"
    expected = f"token ids int64 {axes}]" if tokens else f"{DTYPES[dtype]} {axes}, features]"
    rank = inputs.dim() + step
    if inputs.dtype != (torch.int64 if tokens else dtype) or rank < 2 + (not tokens) or 0 in inputs.shape:
        raise InputError(
            mismatch(
                "example 'inputs'",
                expected,
                describe(inputs),
                "Time and batch come first, in either order; batch alone for a one-step module (step=True).",
            )
        )


def _begin(model: nn.Module) -> Callable[[int], Any] | None:
    """Give the module's ``begin_state(batch_size, device)``, if it has one."""
    begin_state = getattr(model, "begin_state", None)
    if begin_state is None:
        return None

    def begin(batch: int) -> Any:
        try:
            return begin_state(batch, CPU)
        except Exception as error:
            raise ModelError(
                f"begin_state({batch}, device) of {type(model).__name__} failed: {error}. It is called as "
                "begin_state(batch_size, device) for the initial state."
            ) from error

    return begin


def _check_dtypes(state: Any, dtype: torch.dtype) -> None:
    check_kinds("example 'state'", [] if state is None else tree_leaves(state), InputError)
    for number, leaf in enumerate([] if state is None else tree_leaves(state)):
        if leaf.is_floating_point() and leaf.dtype != dtype:
            expected = f"{DTYPES[dtype]}, the dtype of the parameters"
            raise InputError(
                mismatch(
                    f"example 'state', tensor {number}", expected, describe(leaf), f"Convert it to {dtype}."
                )
            )


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
    first = None if begin is None else begun_alike(begin, inputs.shape[axes.batch], axes.state)
    signature = _signature(inputs, leaves, axes, reading.outputs, first, tree, returns_state)
    if leaves:
        start = begin(inputs.shape[axes.batch]) if begin else map_leaves(taken, torch.zeros_like)
        check_left_out(lambda inputs: read(_run(model, inputs), inputs.shape[:2]), run, inputs, start)
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
    inner = trained.original if isinstance(trained, Wrapper) else trained
    for module, training in zip(inner.modules(), modes, strict=True):
        module.training = training
    if not equal(subject.flat(trained)(*subject.arguments), subject.flat()(*subject.arguments)):
        warn(
            f"{type(inner).__name__} is in training mode, where it computes something else (dropout or batch "
            "norm, say). A copy in eval mode is exported; call model.eval() to silence this."
        )


def _warn_of_nan(model: nn.Module) -> None:
    names = [name for name, tensor in model.named_parameters() if tensor.isnan().any()]
    if names:
        warn(f"NaN in the parameters {', '.join(names)}. The files reproduce it: NaN is compared with NaN.")


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
        outputs=TensorSpec(**spec(OUTPUTS, outputs, {axes.outputs_time: TIME, axes.outputs_batch: BATCH})),
        tree=tree or {"tuple": []},
        returns_state=returns_state or not leaves,
    )
