"""What SECURITY.md promises, tried out: one file a trial, one line in the table.

A trial's file has ``run(amount)``: it tries a promise so many times, or so many seconds, gives its figures in
one line, and raises :class:`BrokenPromiseError` where the promise does not hold.
"""

from dataclasses import dataclass
from importlib import import_module


class BrokenPromiseError(AssertionError):
    """A promise of SECURITY.md does not hold; the message says which, and how to see it again."""


@dataclass(frozen=True)
class Trial:
    """A promise to be tried: ``amount`` of ``unit`` in full, ``short`` of them wherever the tests run."""

    name: str
    amount: int
    short: int
    unit: str

    def run(self, amount: int) -> str:
        """Try it.

        Raises:
            BrokenPromiseError: the promise does not hold.
        """
        figures: str = import_module(f"{__name__}.{self.name}").run(amount)
        return figures


ALL: tuple[Trial, ...] = (
    Trial("kills", 100, 20, "exports"),
    Trial("same_bytes", 3, 3, "processes"),
    Trial("fuzz", 10_000, 1_000, "mutated bundles"),
    Trial("optimize", 1_000, 100, "mutated ONNX files"),
    Trial("threads", 2000, 40, "calls a thread"),
    Trial("shapes", 600, 30, "seconds"),
)
TRIALS = {trial.name: trial for trial in ALL}
