"""A recipe says which pieces a module is put together from; its number decides all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.support.generated.cells import CELLS
from tests.support.generated.features import FEATURES
from tests.support.generated.impure import IMPURE
from tests.support.generated.kinds import Cell, Feature, Hook, Output, Start, Twist
from tests.support.generated.outputs import ODD_OUTPUTS, OUTPUTS
from tests.support.generated.starts import STARTS
from tests.support.generated.twists import BRANCHES, MASKS, TIMES

TWISTS: dict[str, Twist] = MASKS | TIMES | BRANCHES | IMPURE
LOOPS = ("index", "rows", "unbind", "while", "enumerate", "filled", "projected")
ALONE = 3  # recipes of a kind without a second oddity
PLAIN_FEATURES = ("plain", "tokens")
PLAIN_OUTPUTS = ("all", "states", "last")
PLAIN_STARTS = ("given", "inside", "optional", "begin_zeros")
ODD_FEATURES = tuple(name for name in FEATURES if name not in PLAIN_FEATURES)
ODD_STARTS = tuple(name for name in STARTS if name not in PLAIN_STARTS)
ODD_CELLS = ("spiking", "flags", "extremes")
# Every kind is the one oddity of some recipes; the first is none.
KINDS = ("nothing", *TWISTS, *ODD_FEATURES, *ODD_STARTS, *ODD_OUTPUTS, *ODD_CELLS)


@dataclass(frozen=True)
class Recipe:
    """All that a module, its example and its NumPy twin depend on.

    Attributes:
        kind: what is odd about it; the other pieces are plain ones, or odd as well.
        number: which of the recipes of that kind.
        seed: of the parameters and inputs.
        twists, constants: oddities, and what ``{n}`` is in each.
    """

    kind: str
    number: int
    seed: int
    feature: str
    cell: str
    loop: str
    start: str
    output: str
    twists: tuple[str, ...]
    constants: tuple[float, ...]
    rows_first: bool
    padding_row: bool
    example_without_state: bool
    time: int
    batch: int
    F: int
    H: int

    @property
    def pieces(self) -> tuple[Feature | Cell | Start | Output | Twist, ...]:
        twists = (TWISTS[name] for name in self.twists)
        return (FEATURES[self.feature], CELLS[self.cell], STARTS[self.start], OUTPUTS[self.output], *twists)

    @property
    def words(self) -> tuple[str, ...]:
        """Words of which a refusal has one; none if the module has to be exported."""
        return tuple(word for piece in self.pieces for word in piece.words)

    @property
    def never(self) -> bool:
        """Whether no file can be right."""
        return any(getattr(piece, "never", False) for piece in self.pieces)

    @property
    def tokens(self) -> bool:
        return FEATURES[self.feature].draw == "tokens"

    @property
    def width(self) -> int:
        """How many numbers the cell reads."""
        more = FEATURES[self.feature].more
        return more if self.feature == "one_hot" else self.F + more

    @property
    def long(self) -> bool:
        """Whether it may be told apart at lengths or batches alone that are far beyond the example's."""
        return 0 < self.number < ALONE or any(name in TIMES for name in self.twists)

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> "Recipe":
        """Give the recipe of what :func:`dataclasses.asdict` gave, through JSON."""
        return cls(**{name: tuple(each) if isinstance(each, list) else each for name, each in fields.items()})

    def hooks(self, place: str) -> list[tuple[Hook, float]]:
        """Give what is odd at a place, each with its ``{n}``."""
        present: list[tuple[Hook, float]] = []
        for name, constant in zip(self.twists, self.constants, strict=True):
            hook: Hook | None = getattr(TWISTS[name], place)
            if hook and hook.text:
                present.append((hook, constant))
        return present

    def __str__(self) -> str:
        odd = " ".join(map("{}({:g})".format, self.twists, self.constants)) or "-"
        layout = "[B, T]" if self.rows_first else "[T, B]"
        pieces = ", ".join([self.feature, self.cell, self.loop, self.start, self.output, odd])
        sizes = f"{self.time} steps, {self.batch} rows, F={self.F}, H={self.H}"
        return f"{self.kind}/{self.number}: {pieces}; {layout} {sizes}"


def recipe(kind: str, number: int) -> Recipe:
    """Give a recipe of a kind: of the first ones nothing else is odd, the others have a second oddity."""
    random = Random(f"{kind} {number}")
    seconds = ["nothing"] if number < ALONE or kind == "nothing" else random.sample(KINDS, len(KINDS))
    return next(made for second in seconds if (made := _made(kind, second, number, random)))


def _made(kind: str, second: str, number: int, random: Random) -> Recipe | None:
    """Put a recipe together; none if the two oddities do not fit together."""
    odd = [name for name in (kind, second) if name != "nothing"]
    twists = [name for name in odd if name in TWISTS]
    feature, start, output, cell = (
        [name for name in odd if name in names]
        for names in (ODD_FEATURES, ODD_STARTS, ODD_OUTPUTS, ODD_CELLS)
    )
    if kind == second != "nothing" or any(len(chosen) > 1 for chosen in (feature, start, output, cell)):
        return None
    if sum(TWISTS[name].keep is not None for name in twists) > 1:
        return None
    needs = [TWISTS[name].needs for name in twists] + [OUTPUTS[name].needs for name in output]
    fitting = [name for name in FEATURES if all(not names or name in names for names in needs)]
    usual = [name for name in PLAIN_FEATURES if name in fitting] or fitting
    if not fitting or (feature and feature[0] not in fitting):
        return None
    loop = any(TWISTS[name].loop for name in twists)
    cells = [name for name in CELLS if name not in ODD_CELLS and not (loop and CELLS[name].layer)]
    chosen = cell[0] if cell else random.choice(cells)
    if CELLS[chosen].begins and (twists or start):  # made for states of numbers that begin with zeros
        return None
    return Recipe(
        kind,
        number,
        1000 * number + KINDS.index(kind),
        feature[0] if feature else random.choice(usual),
        chosen,
        "layer" if CELLS[chosen].layer else random.choice(LOOPS),
        "begin_zeros" if CELLS[chosen].begins else start[0] if start else random.choice(PLAIN_STARTS),
        output[0] if output else random.choice(PLAIN_OUTPUTS),
        tuple(twists),
        tuple(TWISTS[name].numbers[number % len(TWISTS[name].numbers)] for name in twists),
        rows_first=random.random() < 0.5,
        padding_row=random.random() < 0.5,
        example_without_state=random.random() < 0.5,
        time=random.randint(5, 14),
        batch=random.randint(2, 4),
        F=random.randint(3, 5),
        H=random.randint(6, 8),
    )
