"""What :func:`rnn_export.optimize` gives: what was found in a file, what was done, and what that is worth."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import onnx


@dataclass(frozen=True)
class Loop:
    """A loop of the file: its operator, its node's name, its states, what it is now, or why it is left."""

    kind: str
    where: str
    states: int
    became: tuple[str, ...] = ()
    left: str = ""

    def __str__(self) -> str:
        states = f"{self.states} state{'s' if self.states != 1 else ''}"
        now = f"left: {self.left}" if self.left else " + ".join(self.became) or "all time steps at once"
        return f"{self.kind} {self.where!r}, {states}: {now}"


@dataclass(frozen=True)
class Speed:
    """How long a call takes before and after, which took turns: medians in microseconds."""

    time: int
    batch: int
    before: float
    after: float

    def __str__(self) -> str:
        return (
            f"T={self.time}, B={self.batch}: {self.before:.0f} us a call before, {self.after:.0f} us after, "
            f"{self.before / self.after:.1f} times as fast (one core, medians)."
        )


@dataclass(frozen=True)
class Optimization:
    """What :func:`optimize` gives: the model, and what was done.

    ``form`` is empty if the model is the one that came; ``left`` then says why, if it is not for its loops.
    ``before`` and ``after`` count the operators, inside of loops as well, and without those that run only for
    an empty call, or numbers that are not finite. ``calls`` is how many were compared; ``speed`` is that
    of a call of the size that the form was chosen for, if it was measured.
    """

    model: onnx.ModelProto
    loops: tuple[Loop, ...]
    form: str
    left: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    calls: int = 0
    speed: Speed | None = None

    def lines(self) -> list[str]:
        """Describe what was found and done: a line a loop, the operators before and after, the verdict."""
        if not self.form:
            return [
                *map(str, self.loops),
                f"Nothing was changed: {self.left or 'no loop could be rewritten'}.",
            ]
        counts = (", ".join(f"{n} {op}" for op, n in sorted(c.items())) for c in (self.before, self.after))
        totals = (f"{when}: {listed}" for when, listed in zip(("Before", "After"), counts, strict=True))
        verdict = f"Both give the same in ONNX Runtime, in {self.calls} random calls."
        return [*map(str, self.loops), *totals, verdict, *([str(self.speed)] if self.speed else [])]

    def to_json(self) -> dict[str, Any]:
        """Give plain data, without the model."""
        return {
            "loops": [asdict(loop) for loop in self.loops],
            "form": self.form,
            "left": self.left,
            "before": dict(self.before),
            "after": dict(self.after),
            "speed": asdict(self.speed) if self.speed else None,
        }
