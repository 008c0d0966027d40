"""Which axes of several inputs may be time and batch, before the module is asked."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product

from rnn_export.errors import InputError, mismatch, nearest
from rnn_export.module.output_length import Along, Inputs
from rnn_export.signature.sizes import BATCH, TIME

ROLES = ("sequence", "context", "state")
Pair = tuple[Along, tuple[int, ...]]  # the time axis of each input that has one, and the batch axis of each


@dataclass(frozen=True)
class Said:
    """What the user says of the arguments, by their names, where trying would leave it open.

    Attributes:
        axes: ``"time"``, ``"batch"`` or ``None`` for each axis of an input.
        roles: ``"sequence"``, ``"context"`` or ``"state"``.
        batch_first: whether the batch stands in front of the time in every sequence.
    """

    axes: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    batch_first: bool | None = None

    def allows(self, names: Collection[str], time: int | None, batch: int) -> bool:
        """Whether an input with one of these names may have these axes."""
        for axes in (self.axes[name] for name in names if name in self.axes):
            said = list(axes)
            if (time, batch) != (said.index(TIME) if TIME in said else None, said.index(BATCH)):
                return False
        roles = {self.roles[name] for name in names if name in self.roles}
        if roles and (time is None) != (roles == {"context"}):
            return False
        return self.batch_first is None or time is None or (batch < time) == self.batch_first

    @property
    def words(self) -> str:
        """What is said, as it is written."""
        given = {"axes": self.axes, "roles": self.roles, "batch_first": self.batch_first}
        return ", ".join(f"{name}={value}" for name, value in given.items() if value not in ({}, None))

    def is_of(self, names: Collection[str]) -> bool:
        """Whether anything is said of an input with one of these names."""
        return any(name in self.axes or name in self.roles for name in names)

    def check(self, known: Collection[str]) -> None:
        """Check that all names are those of arguments, and all that is said of them can be.

        Raises:
            InputError: one is not.
        """
        known = sorted({*known})
        for where, names in (("axes", self.axes), ("roles", self.roles)):
            for name in names:
                if name not in known:
                    remedy = nearest(name, known, "Name an argument of forward(), a key or a field.")
                    raise InputError(mismatch(where, ", ".join(map(repr, known)), repr(name), remedy))
        for name, axes in self.axes.items():
            said = tuple(axes) if isinstance(axes, Iterable) else ()
            if said.count(BATCH) != 1 or said.count(TIME) > 1 or {*said} - {TIME, BATCH, None}:
                expected = "'batch' once, 'time' once or not at all, and None for all other axes"
                raise InputError(mismatch(f"axes of {name!r}", expected, said or axes, "Name each axis."))
        for name, role in self.roles.items():
            if role not in ROLES:
                known_roles = ", ".join(map(repr, ROLES))
                raise InputError(
                    mismatch(
                        f"role of {name!r}",
                        known_roles,
                        repr(role),
                        nearest(str(role), ROLES, "Name one of them."),
                    )
                )


NOTHING_SAID = Said()


def pairs_of_axes(
    inputs: Inputs, said: Said, names: Sequence[Collection[str]], *, alone: bool
) -> Iterator[Pair]:
    """List which axes of the inputs may be time and batch: of one size in all of them.

    Contexts ``alone``, none of them a sequence, stand last, if that may be: with one axis beside the batch at
    the most, unless it is said of them. A module that takes ``[B, 7, 4]``, and none longer, has fixed its
    number of time steps.
    """
    sizes = dict.fromkeys(size for tensor in inputs for size in tensor.shape)
    contexts = len(inputs) > 1
    for steps, rows in product(sizes, sizes):
        options = list[list[tuple[int | None, int]]]()
        for tensor, called in zip(inputs, names, strict=True):
            shape = tensor.shape
            both = [*permutations(range(tensor.dim()), 2)]
            own: list[tuple[int | None, int]] = [
                (time, batch) for time, batch in both if (shape[time], shape[batch]) == (steps, rows)
            ]
            context = [(None, batch) for batch in range(tensor.dim()) if shape[batch] == rows]
            every = [*own, *(context if contexts else [])]
            options.append([pair for pair in every if said.allows(called, *pair)])
        for chosen in product(*options):
            time, batch = tuple(pair[0] for pair in chosen), tuple(pair[1] for pair in chosen)
            if time.count(None) < len(time):
                yield time, batch
    if alone:
        yield from _contexts_alone(inputs, said, names)


def _contexts_alone(inputs: Inputs, said: Said, names: Sequence[Collection[str]]) -> Iterator[Pair]:
    """List which axes of the inputs may be the batch, if none of these is a sequence."""
    for rows in dict.fromkeys(size for tensor in inputs for size in tensor.shape):
        options = [
            [
                axis
                for axis, size in enumerate(tensor.shape)
                if size == rows and said.allows(called, None, axis)
                if tensor.dim() <= 2 or said.is_of(called)
            ]
            for tensor, called in zip(inputs, names, strict=True)
        ]
        yield from (((None,) * len(inputs), batch) for batch in product(*options))


def is_a_part(pair: Pair, found: list[Pair]) -> bool:
    """Whether sequences are but some of those that are tied to each other: the others cannot grow alone.

    A loop over the time steps of ``x`` that reads ``dt[t]`` takes a longer ``dt``, and no longer ``x`` alone.
    """
    time, batch = pair
    for whole, rows in found:
        more = tuple(None if own is not None else other for own, other in zip(time, whole, strict=True))
        same = all(own in (None, other) for own, other in zip(time, whole, strict=True))
        if rows == batch and same and more != (None,) * len(more) and (more, rows) not in found:
            return True
    return False


def ways_to_say(found: Sequence[Pair], inputs: Inputs, names: Sequence[str]) -> str:
    """Write what the user may say, ready to paste."""
    ways = []
    for time, batch in found:
        axes = {
            name: tuple({along: TIME, row: BATCH}.get(axis) for axis in range(tensor.dim()))
            for name, tensor, along, row in zip(names, inputs, time, batch, strict=True)
        }
        ways.append(f"axes={axes}")
    return f" Or say it: export(..., {' or '.join(ways)})." if ways else ""
