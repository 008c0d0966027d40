"""Whether a model that was rewritten does with odd calls what it did: no file may begin to end its host."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnn_export.program.agree import same
from rnn_export.program.program import Program
from rnn_export.runtimes.empty_calls import CALLS
from rnn_export.runtimes.model_runs import DeadRunError, RunError
from rnn_export.signature.tensors import Array


def empty_fault(given: Program, made: Program, calls: Sequence[tuple[int, int]] = CALLS) -> str:
    """Say what a model no longer does with a call, an empty one for example, that another one does."""
    for time, batch in calls:
        feeds = given.sample(time, batch)
        before, after = _outcome(given, feeds), _outcome(made, feeds)
        where = f"rewritten, with {time} time steps and {batch} rows"
        if isinstance(after, DeadRunError) and not isinstance(before, DeadRunError):
            return f"{where}: {after}"
        if isinstance(before, dict) and isinstance(after, RunError):
            return f"{where}: it fails: {str(after).partition(chr(10))[0]}"
        if isinstance(before, dict) and isinstance(after, dict):
            wrong = [name for name in before if not same(before[name], after[name])]
            if wrong:
                return f"{where}: it gives another {wrong[0]!r}"
    return ""


def _outcome(program: Program, feeds: Mapping[str, Array]) -> dict[str, Any] | RunError:
    try:
        return program.run(feeds)
    except RunError as error:
        return error
