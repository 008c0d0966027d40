"""What a call of ``export`` says beside the module and its example: is each argument of its kind?"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from rnn_export.errors import InputError, mismatch

# What may be passed, what it is called in an error, and what to do.
KINDS: dict[str, tuple[Any, str, str]] = {
    "kwargs": (Mapping, "a dict of keyword arguments by name", "Pass {'name': tensor}."),
    "axes": (Mapping, "a dict of axes by name", "Pass {'inputs': ('time', 'batch', None)}."),
    "roles": (Mapping, "a dict of roles by name", "Pass {'speaker': 'context'}."),
    "batch_first": (bool, "True or False", "Leave it out if the axes are found without."),
    "c": (bool, "True or False", "Pass False for a bundle without model.c."),
    "name": (str, "a string", "Pass what the model is called."),
    "metadata": (Mapping, "a dict of strings by name", "Pass {'vocabulary': 'abc'}."),
    "progress": (Callable | bool, "a function of a stage and two numbers", "Pass False to see nothing."),
} | {
    flag: (bool, "True or False", f"Leave {flag} out unless it is wanted.")
    for flag in ("step", "lengths", "overwrite", "pt2", "quick")
}
CALL = "export(model, (inputs, state), folder)"


def check_asked(args: Any, folder: Any, rest: tuple[Any, ...], **asked: Any) -> None:
    """Check the arguments of ``export``, before anything is done.

    Args:
        args: the example.
        folder: where the bundle goes.
        rest: what was passed behind the folder.
        asked: all that has a row in ``KINDS``.

    Raises:
        InputError: one is of another kind.
    """
    if rest:
        got, remedy = f"{3 + len(rest)} arguments", f"Put what one call takes into one argument: {CALL}."
        raise InputError(mismatch("export", "(model, args, folder) and names for all else", got, remedy))
    if not isinstance(folder, str | os.PathLike):
        remedy = "Pass where the bundle goes."
        if isinstance(args, str | os.PathLike):
            remedy = "The folder comes last: export(model, args, folder)."
        elif isinstance(folder, Tensor | tuple | list | dict):
            remedy = f"Put what one call takes into one argument: {CALL}."
        raise InputError(mismatch("folder", "a path", type(folder).__name__, remedy))
    for name, value in asked.items():
        kind, expected, remedy = KINDS[name]
        if value is not None and not isinstance(value, kind):
            got = repr(value) if kind is bool else type(value).__name__
            raise InputError(mismatch(name, expected, got, remedy))
    _check_metadata(asked.get("metadata") or {})


def _check_metadata(metadata: Mapping[Any, Any]) -> None:
    for key, value in metadata.items():
        if not isinstance(key, str):
            raise InputError(mismatch("a name in metadata", "a string", repr(key), f"Pass {str(key)!r}."))
        if not isinstance(value, str):
            written = f"str({value!r})" if isinstance(value, int | float) else "json.dumps() of it"
            got = type(value).__name__
            raise InputError(mismatch(f"metadata {key!r}", "a string", got, f"Pass {written}."))
