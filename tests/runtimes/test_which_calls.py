"""Every variant of a file answers every case of a small net; those of a large one take turns."""

from collections import defaultdict

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.golden import RUN, STEP
from rnn_export.runtimes.which_calls import AGAIN, LARGE, again, answering
from tests.support.paths import ARTIFACTS

CASES = Bundle.open(ARTIFACTS / "rnn_scratch").cases
CALLS = [lambda *_: [], lambda *_: [], lambda *_: []]


def test_all_variants_of_a_small_net_answer() -> None:
    found = answering(CALLS, CASES, LARGE)
    assert [*found] == [case.name for case in CASES]
    assert all(calls == CALLS for calls in found.values())
    assert len(again(CASES, LARGE)) == 2 * AGAIN


def test_variants_of_a_large_net_take_turns_at_every_size() -> None:
    found = answering(CALLS, CASES, LARGE + 1)
    asked = defaultdict(set)
    for case in CASES:
        first, other = found[case.name]
        assert first is CALLS[0]
        asked[case.kind, case.time, case.batch].add(other)
    grid = {size: others for size, others in asked.items() if size[1] <= 31 and size[2] <= 5}
    assert {size[0] for size in grid} == {RUN, STEP}
    assert all(others == {*CALLS[1:]} for size, others in grid.items() if size[2] in (1, 2, 5))


def test_one_way_to_compute_answers_all() -> None:
    assert all(calls == CALLS[:1] for calls in answering(CALLS[:1], CASES, LARGE + 1).values())


def test_the_shortest_cases_of_a_large_net_come_again() -> None:
    cases = again(CASES, LARGE + 1)
    assert len(cases) == 2 * AGAIN
    assert max(case.time * case.batch for case in cases) <= 8
