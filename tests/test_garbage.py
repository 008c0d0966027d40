"""Collection of garbage is put off, and is afterwards as it was."""

import gc
import platform
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnn_export.garbage import give_back, uncollected


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("enabled", [True, False])
def test_collection_is_put_off_and_is_afterwards_as_it_was(enabled: bool) -> None:
    if not enabled:
        gc.disable()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled() == enabled


def test_after_an_error_it_is_as_it_was_too() -> None:
    with pytest.raises(ZeroDivisionError), uncollected():
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_what_was_made_meanwhile_counts_as_old_and_is_collected_in_the_end() -> None:
    class Ring:
        def __init__(self) -> None:
            self.own = self

    gc.collect()
    with uncollected():
        ring = weakref.ref(Ring())
    assert gc.get_freeze_count() == 0
    gc.collect(1)
    assert ring()
    gc.collect()
    assert not ring()


def test_what_the_caller_has_frozen_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with uncollected():
        pass
    assert gc.get_freeze_count() == frozen > 0


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library keeps nothing, or says nothing"
)
def test_memory_that_was_freed_is_given_back() -> None:
    def megabytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    blocks = [bytes([number % 256]) * 8000 for number in range(10000)]
    kept = blocks[::100]  # between what is freed, so that the heap cannot shrink at its end
    del blocks
    before = megabytes()
    give_back()
    assert before - megabytes() > 40
    assert len(kept) == 100
