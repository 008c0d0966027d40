"""Modules put together by a generator: exported right, or refused with a reason that names the true cause.

The right answer is a second implementation in NumPy, which eager PyTorch in float64 agrees with. It is asked
on inputs that the export does not know: padding, stop tokens, zeros, constants, ten times larger, 600 time
steps, 40 rows. One recipe of each kind every day, 25 of each in `make test-all`.

    python -m tests.support.generated.pool KIND NUMBER    # shows a module, and what becomes of it
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import pytest

from tests.support.generated.check import BAD, OUTCOMES
from tests.support.generated.pool import Pool
from tests.support.generated.recipe import KINDS, recipe

Counted = Callable[[str, Mapping[str, int]], None]

OF_EACH = 26  # recipes of a kind: 2,000 of all kinds
EXHAUSTIVE = [pytest.mark.exhaustive]
# Kinds that are not exported right yet, and why. Remove a line with the fault.
KNOWN: dict[str, str] = {}
# Alike to others of which one is tried every day.
ALIKE = {
    *("padding_multiplies", "zero_sums_keep", "flag_resets_where", "input_delay", "next_input", "centred"),
    *("inputs_set", "noise_on_inputs", "moving_average_in_place", "log1p", "root", "hour", "clipped"),
    *("inside_plain", "inside_like", "begin_half", "mean", "mean_valid_row", "maximum"),
}


def marks(kind: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xfail(reason=KNOWN[kind], strict=True)] if kind in KNOWN else []


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with closing(Pool()) as started:
        yield started


def faults(kind: str, numbers: range, pool: Pool, counted: Counted) -> list[str]:
    counts = Counter(dict.fromkeys(OUTCOMES, 0))
    found: list[str] = []
    for number in numbers:
        made = recipe(kind, number)
        if KNOWN.keys() & {*made.kinds} - {kind}:
            continue  # the other kind is tried by itself
        verdict = pool.judge(made)
        counts[verdict["outcome"]] += 1
        if verdict["outcome"] in BAD:
            found.append("{outcome}: {recipe}\n    {detail}".format(**verdict))
    counted("generated modules", counts)
    return found


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=marks(kind) + EXHAUSTIVE * (kind in ALIKE)) for kind in KINDS]
)
def test_a_module_is_exported_right_or_refused(kind: str, pool: Pool, counted: Counted) -> None:
    assert not faults(kind, range(1), pool, counted)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks(kind)) for kind in KINDS])
def test_many_modules_are_exported_right_or_refused(kind: str, pool: Pool, counted: Counted) -> None:
    assert not "\n".join(faults(kind, range(1, OF_EACH), pool, counted))
