"""The smallest change of a weight that is always seen is far below a thousandth."""

from benchmarks.weight_change import all_of_it, largest_alone, least_changes
from tests.support.cases import the


def test_a_small_change_is_seen() -> None:
    for change in (all_of_it, largest_alone):
        found = dict(least_changes(the("one_unit"), change))
        assert 1e-7 < max(found.values()) < 1e-4, found
