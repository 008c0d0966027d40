"""The verdict on a bundle in one sentence: which files agree, which were not checked, and what is required.

    2 files agree with eager PyTorch; model.c was not checked: no C compiler

What is required (``--require c,onnx``) is named by the ending of ``model.*`` or by the runtime that runs it.
"""

from collections.abc import Sequence

from rnn_export.bundle.layout import NOT_ASKED
from rnn_export.errors import InputError, RuntimeUnavailableError, mismatch, nearest
from rnn_export.runtimes.compiler import MISSING, compiler
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.verification.compare import FAILED, NOT_CHECKED, PASSED, Check
from rnn_export.workers import CRASHED

ENDINGS = tuple(dict.fromkeys(runtime.suffix.removeprefix(".") for runtime in RUNTIMES.values()))


QUICK = "a quick check, of short sequences and few rows alone"


def demanded(require: str | Sequence[str]) -> tuple[str, ...]:
    """Read what is required.

    Raises:
        InputError: there is no such ending or runtime.
    """
    if not isinstance(require, str | Sequence):
        remedy = "Pass endings of model.*, as ['c', 'onnx'], or runtimes."
        raise InputError(mismatch("require", "a list of strings", type(require).__name__, remedy))
    listed = require.split(",") if isinstance(require, str) else require
    words, known = tuple(word.strip() for word in listed if word.strip()), (*ENDINGS, *RUNTIMES)
    for word in words:
        if word not in known:
            remedy = nearest(word, known, "Name endings of model.*, or runtimes.")
            expected = f"some of {', '.join(dict.fromkeys(known))}"
            raise InputError(mismatch("require", expected, repr(word), remedy))
    return words


def check_runtimes(words: Sequence[str]) -> None:
    """Check that what is required can be checked here.

    Raises:
        RuntimeUnavailableError: no runtime for it is installed.
    """
    for word in words:
        able = [each for each in RUNTIMES.values() if word in (each.name, each.suffix.removeprefix("."))]
        if not any(runtime.installed for runtime in able):
            needed = " or ".join(runtime.package for runtime in able)
            raise RuntimeUnavailableError(f"require: {word!r} cannot be checked: install {needed}.")
        if all(runtime.compiles for runtime in able) and compiler() is None:
            raise RuntimeUnavailableError(f"require: {word!r} cannot be checked: {MISSING}")


def passing(checks: Sequence[Check]) -> list[str]:
    """Name the files that passed in a runtime, and failed in none."""
    failed = {check.file for check in checks if check.verdict == FAILED}
    return sorted({check.file for check in checks if check.verdict == PASSED} - failed)


def unchecked(checks: Sequence[Check]) -> list[str]:
    """Say which files were not checked, or not in each runtime, and why."""
    alone = {check.file for check in checks} - {c.file for c in checks if c.verdict != NOT_CHECKED}
    files = dict[tuple[str, str], list[str]]()
    for check in checks:
        if check.verdict == NOT_CHECKED:
            where = "" if check.file in alone else f" in {check.runtime}"
            files.setdefault((where, _short(check)), []).append(check.file)
    return [
        f"{', '.join(own)} {'was' if len(own) == 1 else 'were'} not checked{where}: {reason}"
        for (where, reason), own in files.items()
    ]


def unmet(checks: Sequence[Check], left_out: Sequence[str], required: Sequence[str]) -> list[str]:
    """Say what is required and did not pass; why stands in :func:`unchecked` if the file is there."""
    return [reason for word in required if (reason := _unmet(word, checks, left_out))]


def _unmet(word: str, checks: Sequence[Check], left_out: Sequence[str]) -> str:
    asked = [check for check in checks if word in (check.runtime, check.file.removeprefix("model."))]
    if any(check.verdict == PASSED for check in asked):
        return ""
    if asked:
        return f"{word} is required"
    file = f"model{RUNTIMES[word].suffix}" if word in RUNTIMES else f"model.{word}"
    own = [reason for reason in left_out if reason.startswith((f"{file}:", f"{file} "))]
    reasons = [reason.removeprefix(file).removeprefix(": ") for reason in own]
    missing = f"{file} was left out: {'; '.join(reasons)}" if reasons else f"there is no {file}"
    return f"{word} is required: {missing}"


def sentence(
    checks: Sequence[Check],
    missing: Sequence[str],
    *,
    passed: bool,
    quick: bool = False,
    left_out: Sequence[str] = (),
) -> str:
    """Put the verdict in one sentence."""
    unasked = [
        reason.replace(f": {NOT_ASKED}", " was not asked for") for reason in left_out if _unasked(reason)
    ]
    rest = [*([QUICK] if quick else []), *unasked, *unchecked(checks)]
    if passed:
        right, files = len(passing(checks)), {check.file for check in checks}
        count = "1 file agrees" if right == 1 else f"{right} files agree"
        return "; ".join(
            (f"{'every file agrees' if right == len(files) else count} with eager PyTorch", *rest)
        )
    failed = [f"{check.file} in {check.runtime}" for check in checks if check.verdict == FAILED]
    return f"verification failed: {'; '.join((*failed, *missing, *rest))}"


def _short(check: Check) -> str:
    return check.detail.partition("\n")[0].partition(". ")[0]


def _unasked(reason: str) -> bool:
    return reason.endswith(f": {NOT_ASKED}")


def left_out_word(reason: str) -> str:
    """Say that a file was left out: more than a warning if a check of it crashed, less if that was wanted.

    >>> left_out_word("model.c in c: the process ended with signal 11 (it crashed): ")
    'error: crashed, and left out:'
    >>> left_out_word("model.c: it takes complex numbers")
    'warning: left out:'
    >>> left_out_word("model.c: it was not asked for")
    'left out:'
    """
    if _unasked(reason):
        return "left out:"
    return "error: crashed, and left out:" if CRASHED in reason else "warning: left out:"
