"""The first stage of an export: what is the module, and can it be streamed?"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from rnn_export.errors import InputError, ModelError, RnnExportError, class_name, mismatch, warn
from rnn_export.module.arguments import Arguments, arguments_of
from rnn_export.module.arranged import Arranged
from rnn_export.module.attributes import KeptError
from rnn_export.module.calling import describe
from rnn_export.module.candidates import NOTHING_SAID, Said
from rnn_export.module.fold_check import COUNTS, begins_alike, check_rows, streaming_obstacle
from rnn_export.module.kept_state import ARGUMENT, Kept, keep
from rnn_export.module.left_out import is_one_step
from rnn_export.module.reading import inspect_readings, look_again, with_all_results
from rnn_export.module.repeatable import check_repeatable
from rnn_export.module.row_ends import of_full_rows, with_row_ends
from rnn_export.module.squeezed import with_named_axes
from rnn_export.module.subject import Subject
from rnn_export.module.submodule_state import Exposed, expose
from rnn_export.module.unpacked import COMPUTED_COUNTS, packs
from rnn_export.module.vocabulary import find_vocabularies
from rnn_export.signature.sizes import BATCH, TIME


def inspect_export(
    model: nn.Module,
    example: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    step: bool = False,
    lengths: bool = False,
    said: Said = NOTHING_SAID,
) -> Subject:
    """Find out all that an export has to know of a module.

    Args:
        model: the user's module.
        example: the positional arguments of one call, as for :func:`rnn_export.export`.
        kwargs: the keyword arguments.
        step: whether the module takes a single time step.
        lengths: whether the files are to take the number of time steps of each row.
        said: what the user says of the arguments.

    A module that keeps its state in attributes is taken as one that is given it, and returns it.

    Raises:
        InputError: the example is not what the module takes.
        ModelError: the module cannot be exported.
    """
    own = None
    try:
        subject = _inspected(model, example, kwargs=kwargs, step=step, lengths=lengths, said=said)
    except (InputError, ModelError) as error:
        own = with_named_axes(model, example, kwargs)
        if own is None:
            raise
        try:
            subject = _inspected(own, example, kwargs=kwargs, step=step, lengths=lengths, said=said)
        except RnnExportError:
            if own.unclear:
                raise type(error)(f"{error} {own.remedy}") from error
            raise error from None
    for remark in (*([own.remark] if own else []), *subject.remarks):
        warn(remark)
    return subject


def _inspected(
    model: nn.Module,
    example: Any,
    *,
    kwargs: Mapping[str, Any] | None,
    step: bool,
    lengths: bool,
    said: Said,
) -> Subject:
    """Find it out for a module as it stands, or with what it keeps in attributes as a state."""
    try:
        subject = _only(inspect_readings(model, example, kwargs=kwargs, step=step, said=said))
        check_repeatable(subject)
        _check_sequence(subject, arguments_of(example, kwargs), lengths=lengths)
    except KeptError as error:
        args = example if isinstance(example, tuple) else (example,)
        handed = None if isinstance(model, Kept) else keep(model, args, kwargs or {})
        if handed is None:
            raise
        kept, state = handed
        named = {**(kwargs or {}), ARGUMENT: state}
        try:
            return _inspected(kept, args, kwargs=named, step=step, lengths=lengths, said=said)
        except RnnExportError as failure:  # what is kept is no state of the rows
            raise error from failure
    check_rows(subject)
    subject = find_streaming(subject)
    streamed = _streamed_in_own_steps(subject)
    whole = _finished(subject, lengths=lengths)
    return whole if streamed is None else replace(_finished(streamed, lengths=True), counted=whole)


def _finished(subject: Subject, *, lengths: bool) -> Subject:
    """Give all that is known of a module once it is clear how it is run.

    Raises:
        InputError: it cannot take lengths.
    """
    pairs = [f"{spec.name} {spec}" for spec in subject.signature.outputs if spec.shape.count(TIME) > 1]
    if lengths and pairs:
        remedy = "Leave lengths=True or these outputs out."
        raise InputError(
            mismatch("outputs of rows of several lengths", "one axis for time", pairs[0], remedy)
        )
    inputs = find_vocabularies(replace(subject, signature=replace(subject.signature, lengths=False)))
    return replace(subject, signature=replace(subject.signature, lengths=lengths, inputs=inputs))


def _streamed_in_own_steps(subject: Subject) -> Subject | None:
    """Give a module that takes the number of time steps of each row as one that streams, if it is such."""
    full = of_full_rows(subject)
    if full is None:
        return None
    full = find_streaming(full)
    return with_row_ends(subject, full) if full.signature.streamable else None


def _check_sequence(subject: Subject, arguments: Arguments, *, lengths: bool) -> None:
    """Check that a call without a sequence is not one time step of one, and is not to take lengths.

    Raises:
        InputError: it is.
    """
    if subject.signature.timed:
        return
    given = describe([leaf for _, leaf in arguments.leaves])
    if is_one_step(subject.original, arguments):
        remedy = "Export it with step=True: the files run it over a sequence."
        raise InputError(mismatch("example", "a sequence", f"{given}, one time step", remedy))
    if lengths:
        remedy = "Leave lengths=True out: there are no time steps to count."
        raise InputError(mismatch("example", "a sequence", f"{given}, contexts alone", remedy))
    inputs, outputs = subject.signature.inputs, subject.signature.outputs
    shapes = ", ".join(f"{spec.name} {spec}" for spec in inputs)
    alike = len(inputs) > 1 and bool({spec.shape for spec in inputs} & {spec.shape for spec in outputs})
    step = " If that is one time step, export it with step=True: the files run it over a sequence." * alike
    warn(f"{class_name(subject.original)} takes no sequence. The batch alone is free: {shapes}.{step}")


def _only(readings: Iterator[list[Subject]]) -> Subject:
    """Choose the reading of a call that reproduces itself when its state is fed back.

    Of several that do, those with the most tensors of the state count; if none does, the first reading.

    Raises:
        InputError: several do.
    """
    first: Subject | None = None
    for group in readings:
        if not any(isinstance(model, Arranged) for model in group[0].model.modules()):
            return group[0]  # it is called as it stands: there is one reading
        first = first or group[0]
        for subject in group:
            if any(spec.counts_steps for spec in subject.signature.inputs):
                return subject  # with numbers of time steps among its arguments it is no fold in any reading
        folds = [subject for subject in group if streaming_obstacle(subject) is None]
        if len(folds) > 1:
            found = " or ".join(sorted({describe([*subject.state]) for subject in folds}))
            raise InputError(
                mismatch(
                    f"call of {type(folds[0].original).__name__}",
                    "one way to tell the outputs from the state",
                    f"{len(folds)}, with a state of {found}",
                    "Return the state under the names that it has in the arguments, or outputs of another "
                    'shape. Or say it: export(..., roles={"NAME": "state"}).',
                )
            )
        if folds:
            return folds[0]
    assert first is not None  # or there was an error
    return first


def as_whole_sequences(subject: Subject, reason: str) -> Subject:
    """Take a module that turned out not to be a fold as one for whole sequences only, as it was written."""
    if subject.counted is not None:
        subject = subject.counted
    elif isinstance(subject.model, Exposed):
        own, had = look_again(subject, subject.model.original, subject.sample), subject.signature
        subject = replace(own, signature=replace(own.signature, lengths=had.lengths, inputs=had.inputs))
    return replace(subject, signature=replace(subject.signature, not_streamable_because=reason))


def find_streaming(subject: Subject) -> Subject:
    """Find out whether a module can be streamed: as it is, or once the state of its submodules is handed out.

    A module that cannot is given back with the reason. Results beside its first one that are no state of a
    submodule are outputs as well.
    """
    reason = streaming_obstacle(subject)
    if (reason or subject.extra) and not subject.signature.state and subject.signature.timed:
        batch = [spec.batch_axis for spec in subject.signature.inputs]
        exposed = expose(subject.model, subject.inputs, len(subject.signature.outputs), batch)
        inner = None if exposed is None else _read_again(subject, *exposed)
        if inner is not None and not streaming_obstacle(inner) and begins_alike(subject, inner):
            return replace(inner, sample=subject.sample)
    if subject.extra:
        return find_streaming(with_all_results(subject))
    if reason and reason != COUNTS and _packs_its_sequences(subject):
        reason = COMPUTED_COUNTS
    return replace(subject, signature=replace(subject.signature, not_streamable_because=reason))


def _packs_its_sequences(subject: Subject) -> bool:
    """Whether a module packs what has its time steps and rows, by numbers that are none of its inputs."""
    sizes = subject.signature.sizes(subject.inputs)
    with torch.no_grad():
        return packs(lambda: subject.flat()(*subject.arguments), sizes[TIME], sizes[BATCH])


def _read_again(subject: Subject, exposed: Exposed, states: tuple[Any, ...]) -> Subject | None:
    """Look at a module whose submodules take their state from outside; ``None`` if it has no row for each.

    It is none where a submodule runs over something else than the rows of the batch: pieces of them, say.
    """
    try:
        return look_again(subject, exposed, subject.inputs, states)
    except (InputError, ModelError):
        return None
