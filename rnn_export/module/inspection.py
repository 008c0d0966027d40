"""The first stage of an export: what is the module, and can it be streamed?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from rnn_export.errors import InputError, mismatch
from rnn_export.module.calling import describe
from rnn_export.module.fold_check import check_rows, streaming_obstacle
from rnn_export.module.interface import check_nothing_is_lost
from rnn_export.module.repeatable import check_repeatable
from rnn_export.module.subject import Subject, inspect_module, inspect_readings
from rnn_export.module.submodule_state import Exposed, expose
from rnn_export.module.vocabulary import find_vocabulary


def inspect_export(
    model: nn.Module,
    example: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    step: bool = False,
    lengths: bool = False,
) -> Subject:
    """Find out all that an export has to know of a module.

    Args:
        model: the user's module.
        example: the positional arguments of one call, as for :func:`rnn_export.export`.
        kwargs: the keyword arguments.
        step: whether the module takes a single time step.
        lengths: whether the files are to take the number of time steps of each row.

    Raises:
        InputError: the example is not what the module takes.
        ModelError: the module cannot be exported.
    """
    subject = _only(inspect_readings(model, example, kwargs=kwargs, step=step))
    check_repeatable(subject)
    check_rows(subject)
    subject = find_streaming(subject)
    vocabulary = find_vocabulary(subject)
    return replace(subject, signature=replace(subject.signature, lengths=lengths, vocabulary=vocabulary))


def _only(readings: Sequence[Subject]) -> Subject:
    """Choose the reading of a call that reproduces itself when its state is fed back.

    Raises:
        InputError: several do.
    """
    if len(readings) == 1:
        return readings[0]
    folds = [subject for subject in readings if streaming_obstacle(subject) is None]
    if len(folds) > 1:
        found = " or ".join(sorted({describe([*subject.state]) for subject in folds}))
        raise InputError(
            mismatch(
                f"call of {type(folds[0].original).__name__}",
                "one way to tell the outputs from the state",
                f"{len(folds)}, with a state of {found}",
                "Return the state under the names that it has in the arguments, or outputs of another shape.",
            )
        )
    return (folds or readings)[0]


def as_whole_sequences(subject: Subject, reason: str) -> Subject:
    """Take a module that turned out not to be a fold as one for whole sequences only, as it was written."""
    if isinstance(subject.model, Exposed):
        own = inspect_module(subject.model.original, subject.sample)
        had = subject.signature
        own_signature = replace(own.signature, lengths=had.lengths, vocabulary=had.vocabulary)
        subject = replace(own, signature=own_signature)
    return replace(subject, signature=replace(subject.signature, not_streamable_because=reason))


def find_streaming(subject: Subject) -> Subject:
    """Find out whether a module can be streamed: as it is, or once the state of its submodules is handed out.

    A module that cannot is given back with the reason.
    """
    reason = streaming_obstacle(subject)
    if (reason or subject.extra) and not subject.signature.state:
        exposed = expose(subject.model, subject.inputs)
        if exposed is not None:
            model, states = exposed
            inner = inspect_module(model, (subject.inputs, states))
            if not streaming_obstacle(inner):
                return replace(inner, sample=subject.sample)
    check_nothing_is_lost(subject.original, subject.extra)
    return replace(subject, signature=replace(subject.signature, not_streamable_because=reason))
