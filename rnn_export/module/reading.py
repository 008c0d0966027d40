"""What comes in: the user's module and its example, checked before anything is done with them, and read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch import nn

from rnn_export.errors import InputError, ModelError, RnnExportError, class_name, mismatch, warn
from rnn_export.exclusive import LOCK
from rnn_export.module.arguments import Arguments, arguments_of
from rnn_export.module.arranged import Arranged, StepsOverTime, begin_arranged, readings
from rnn_export.module.attributes import KeptError
from rnn_export.module.calling import OpenAxesError, OtherCallError, describe, equal
from rnn_export.module.candidates import NOTHING_SAID, Said
from rnn_export.module.copying import copied
from rnn_export.module.each_row import for_each_row
from rnn_export.module.left_out import with_state
from rnn_export.module.naming import INPUTS, PLAIN_NAMES, Names, names_at, parameter_names
from rnn_export.module.output_length import Inputs
from rnn_export.module.pairs import in_pairs
from rnn_export.module.preparation import (
    HALVES,
    begin_of,
    check_inputs,
    check_state_dtypes,
    copy_of,
    dtype_of,
    warn_of_nan,
)
from rnn_export.module.subject import Subject, find_out
from rnn_export.module.unbatched import with_rows
from rnn_export.module.wrappers import original_of, over_time
from rnn_export.signature.sizes import BATCH, TIME

# What to tell of several failures: first what the user can settle, last that it is another reading.
TELLING: dict[type[RnnExportError], int] = {OpenAxesError: 0, OtherCallError: 2}
OF_ONE_STEP = "With step=True the example is one time step, which has no time axis."


def inspect_module(
    model: nn.Module, example: Any, *, kwargs: Mapping[str, Any] | None = None, step: bool = False
) -> Subject:
    """Check a module and its example, and find out what a call looks like.

    Args:
        model: is called ``model(*example, **kwargs)``. It is copied, not changed.
        example: the positional arguments, or a single one. Tensors that come back are the state; all others
            are inputs, with axes for time and batch, or for batch alone.
        kwargs: the keyword arguments.
        step: whether the module takes a single time step, without a time axis.

    Raises:
        InputError: the example is not what the module takes, or leaves it open which axis is which.
        ModelError: the module has parameters of several or of unsupported dtypes, quantized ones, or cannot
            be copied.
    """
    return next(group[0] for group in inspect_readings(model, example, kwargs=kwargs, step=step))


def inspect_readings(
    model: nn.Module,
    example: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    step: bool = False,
    said: Said = NOTHING_SAID,
) -> Iterator[list[Subject]]:
    """As :func:`inspect_module`, for each way to read the call that holds together: at least one.

    In lists, those with the most tensors of the state first.
    """
    own, modes = copy_of(model)
    own, arguments = in_pairs(own, arguments_of(example, kwargs))
    dtype = dtype_of(own, [leaf for _, leaf in arguments.leaves])
    arguments = arguments.mapped(lambda leaf: leaf.to(dtype) if leaf.dtype in HALVES else leaf)
    names = parameter_names(own, arguments)
    arguments = for_each_row(own, arguments, names)
    groups = _read(own, arguments, dtype, said, step=step)
    for number in count():
        with LOCK, torch.random.fork_rng(devices=[]), torch.no_grad():
            group = next(groups, None)
            if group is None:
                return
            if not number:
                _warn_of_training_mode(modes, group[0])
        if not number:
            _warn_of_numbers(own, arguments)
            warn_of_nan(own)
        yield group


def _read(
    own: nn.Module, arguments: Arguments, dtype: torch.dtype, said: Said, *, step: bool
) -> Iterator[list[Subject]]:
    """Read a call as it stands, or with an axis for the batch if it has none."""
    try:
        yield from _read_as_it_stands(own, arguments, dtype, said, step=step)
    except (InputError, ModelError) as error:
        several = None if isinstance(error, KeptError | OpenAxesError) else with_rows(own, arguments)
        if several is None and step:
            kind = InputError if isinstance(error, InputError) else ModelError
            raise kind(f"{error} {OF_ONE_STEP}") from error
        if several is None:
            raise
        yield from _read_as_it_stands(own, several, dtype, said, step=step)


def _read_as_it_stands(
    own: nn.Module, arguments: Arguments, dtype: torch.dtype, said: Said, *, step: bool
) -> Iterator[list[Subject]]:
    """Read a call as ``(inputs)`` or ``(inputs, state)``, as it stands or, if it is another one, arranged.

    A state that it leaves out, and that no file could take as it stands, is put in.
    """
    if (fuller := with_state(own, arguments)) is not None:
        try:
            yield from read_arranged(own, fuller, dtype, said, step=step)
        except RnnExportError:  # it is no state, or begins with what no file could
            pass
        else:
            return
    if arguments.plain and not said.roles:
        try:
            plain = _read_plainly(own, arguments, dtype, said, step=step)
        except OtherCallError:
            pass
        else:
            yield [plain]
            return
    yield from read_arranged(own, arguments, dtype, said, step=step)


def _read_plainly(
    own: nn.Module, arguments: Arguments, dtype: torch.dtype, said: Said, *, step: bool
) -> Subject:
    called = parameter_names(own, arguments)
    said.check([INPUTS, *called])
    inputs, *rest = arguments.args
    state = rest[0] if rest else None
    check_inputs([inputs], dtype, step=step)
    check_state_dtypes(state, dtype)
    names = replace(PLAIN_NAMES, parameters=(called[0],))
    return _looked_at(own, (inputs,), state, begin_of(own), names, said, alone=not rest, step=step)


def read_arranged(
    own: nn.Module, arguments: Arguments, dtype: torch.dtype, said: Said, *, step: bool
) -> Iterator[list[Subject]]:
    """Read a call in which the inputs and the state stand anywhere; there may be several ways.

    Raises:
        RnnExportError: there is none; the reason is what the user can settle, or that of the first one.
    """
    found, failures = False, list[RnnExportError]()
    for group in readings(own, arguments, said):
        subjects = list[Subject]()
        for arranged, inputs, leaves in group:
            state = leaves or None
            try:
                check_inputs(inputs, dtype, step=step)
                check_state_dtypes(state, dtype)
                begin = begin_arranged(begin_of(own), state)
                names = arranged.names
                one = _looked_at(arranged, inputs, state, begin, names, said, alone=state is None, step=step)
                subjects.append(one)
            except (InputError, ModelError) as error:
                failures.append(error)
        if subjects:
            found = True
            yield subjects
    if not found:
        telling = sorted(failures, key=lambda error: TELLING.get(type(error), 1))
        raise telling[0]


def look_again(
    subject: Subject, model: nn.Module, inputs: Inputs, state: Any = None, names: Names | None = None
) -> Subject:
    """Look at another form of a module, which takes the same inputs and gives the same outputs.

    With ``names`` it may take and give others.
    """
    signature = subject.signature
    taken, given = (tuple(spec.name for spec in specs) for specs in (signature.inputs, signature.outputs))
    names = names or Names(taken, (), given, (), ())
    with LOCK, torch.random.fork_rng(devices=[]), torch.no_grad():
        return find_out(model, inputs, state, begin_of(model), names, state is None, _known_axes(subject))


def with_all_results(subject: Subject) -> Subject:
    """Take all that a module without a state returns for outputs."""
    arguments, dtype = Arguments(subject.sample, {}), getattr(torch, subject.signature.dtype)
    with LOCK, torch.random.fork_rng(devices=[]), torch.no_grad():
        return next(read_arranged(subject.model, arguments, dtype, _known_axes(subject), step=False))[0]


def _known_axes(subject: Subject) -> Said:
    """Say which axis is which as it was found, or said by the user, before."""
    specs = subject.signature.inputs
    return Said(
        {spec.name: [size if size in (TIME, BATCH) else None for size in spec.shape] for spec in specs}
    )


def _looked_at(
    own: nn.Module,
    inputs: Inputs,
    state: Any,
    begin: Callable[[int], Any] | None,
    names: Names,
    said: Said,
    *,
    alone: bool,
    step: bool,
) -> Subject:
    if step:
        state = begin(inputs[0].shape[0]) if begin and state is None else state
        if isinstance(own, Arranged) and max(len(inputs), len(own.outputs)) > 1:
            own, inputs = _steps_over_time(own, inputs, state, names, said)
        else:
            own, state = over_time(own, inputs[0], state)
            inputs = (inputs[0][None],)
    return find_out(own, inputs, state, begin, names, alone, said)


def _steps_over_time(
    own: Arranged, inputs: Inputs, state: Any, names: Names, said: Said
) -> tuple[StepsOverTime, Inputs]:
    """Give a one-step module over time, and its inputs with a time axis in front unless they are contexts.

    Raises:
        InputError: nothing that goes in comes back, or all are contexts.
    """
    timed = [not any(said.roles.get(name) == "context" for name in called) for called in names.of_inputs]
    if state is None or not any(timed):
        got = ", ".join(map(describe, inputs))
        remedy = "Pass the state as well: what a step returns of the shape that it takes."
        raise InputError(mismatch("example of a step", "inputs and a state", got, remedy))
    longer = tuple(each[None] if over else each for each, over in zip(inputs, timed, strict=True))
    return StepsOverTime(own, timed).eval(), longer


def _warn_of_numbers(model: nn.Module, arguments: Arguments) -> None:
    """Say what the files hold as a number, as the example gave it."""
    names = names_at(model, [path for path, _ in arguments.numbers])
    given = [f"{name}={number}" for name, (_, number) in zip(names, arguments.numbers, strict=True)]
    if given:
        warn(f"The files are for {', '.join(given)}, as the example has it: no input of theirs.")


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
            f"{class_name(inner)} is in training mode, where it computes something else (dropout or batch "
            "norm, say). A copy in eval mode is exported; call model.eval() to silence this."
        )
