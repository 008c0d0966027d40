"""Which calls a file has to answer: cases that come again, and the variants of it that answer each.

Every variant answers every case, and short ones twice more, in another order: no call remembers another. A
call of a net with very many weights waits for these from memory. Of such a net only the shortest cases come
again, and the first variant alone answers all: the others take turns, each with one kind of state.
"""

from collections.abc import Sequence

from rnn_export.bundle.golden import RUN, STEP, Case
from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.signature.signature import Call

SHORT, AGAIN = 48, 8  # time steps times rows of the cases that come again, and how many of them
SHORTEST = 8  # time steps times rows of those of a large net
MODES = {RUN: ("whole", "cut"), STEP: ("step",)}
OF_ONE_STEP = {**MODES, RUN: ("cut",)}  # of a file that is one time step
LARGE = 1 << 22  # weights: more than the caches of a processor hold


def modes(file: str, kind: str) -> tuple[str, ...]:
    """Give the ways in which a file runs the cases of a kind.

    >>> modes("model.onnx", "run"), modes("step.onnx", "run")
    (('whole', 'cut'), ('cut',))
    """
    return (OF_ONE_STEP if file == STEP_ONNX else MODES)[kind]


def again(cases: Sequence[Case], parameters: int) -> list[Case]:
    """Give the cases that come again, each twice, of a net of so many ``parameters``."""
    most = SHORTEST if parameters > LARGE else SHORT
    short = [case for case in reversed(cases) if case.time * case.batch <= most][:AGAIN]
    return [case for case in short for _ in range(2)]


def answering(calls: Sequence[Call], cases: Sequence[Case], parameters: int) -> dict[str, list[Call]]:
    """Give for each case, by name, the variants of the file that answer it."""
    first, *others = calls
    if parameters <= LARGE or not others:
        return {case.name: list(calls) for case in cases}
    found, seen = dict[str, list[Call]](), dict[str, int]()
    for case in cases:
        turn = seen[case.kind] = seen.get(case.kind, -1) + 1
        found[case.name] = [first, others[turn % len(others)]]
    return found
