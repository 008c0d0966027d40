"""Whether a model that was rewritten does with empty calls what it did: no file may begin to end its host."""

from collections.abc import Mapping
from typing import Any

from rnn_export.program.agree import same
from rnn_export.program.program import Program
from rnn_export.runtimes.empty_calls import CALLS
from rnn_export.runtimes.model_runs import DeadRunError, RunError
from rnn_export.signature.signature import Array


def empty_fault(given: Program, made: Program) -> str:
    """Say what a model no longer does with an empty call that another one does, or nothing."""
    for time, batch in CALLS:
        feeds = given.sample(time, batch)
        before, after = _outcome(given, feeds), _outcome(made, feeds)
        where = f"rewritten, with {time} time steps and {batch} rows"
        if isinstance(after, DeadRunError) and not isinstance(before, DeadRunError):
            return f"{where}: {after}"
        if isinstance(before, dict) and isinstance(after, RunError):
            return f"{where}: it fails: {str(after).partition(chr(10))[0]}"
        if isinstance(before, dict) and isinstance(after, dict):
            wrong = [name for name in before if not _same_when_empty(before[name], after[name])]
            if wrong:
                return f"{where}: it gives another {wrong[0]!r}"
    return ""


def _outcome(program: Program, feeds: Mapping[str, Array]) -> dict[str, Any] | RunError:
    try:
        return program.run(feeds)
    except RunError as error:
        return error


def _same_when_empty(before: Any, after: Any) -> bool:
    """Compare results, of which a ``Loop`` over no time steps gives every free size as zero."""
    if isinstance(before, list) or before.size:
        return same(before, after)
    return bool(after.size == 0 and after.ndim == before.ndim)
