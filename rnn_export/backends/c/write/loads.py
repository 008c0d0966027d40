"""What a walk over time reads: rows of inputs, and what earlier walks left, at its own step or at others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from rnn_export.backends.c.plan.plan import WORKSPACE, Plan
from rnn_export.backends.c.trace.elementwise import INT
from rnn_export.backends.c.trace.graph import TIME_STEPS, WORDS, Constant, Input, Vector
from rnn_export.backends.c.trace.operations import Count, Found, Kept, Number, Taken, Tap
from rnn_export.backends.c.trace.results import in_front
from rnn_export.backends.c.write.context import Address, Context, length_text, times
from rnn_export.backends.c.write.layout import Spread, slot_address
from rnn_export.signature.sizes import BATCH, TIME, Length, read_length


@dataclass
class Loads:
    """Writes it; ``parameters`` are those of the function, by the tensors' names."""

    plan: Plan
    context: Context
    parameters: Mapping[str, str]

    def __post_init__(self) -> None:
        self.signature, self.names = self.plan.signature, self.context.names

    def regions(self) -> Iterator[str]:
        """Say where in the workspace stands what belongs to the time steps of each clock."""
        if list(self.plan.widths) in ([], [TIME_STEPS]):
            return
        terms: list[str] = []
        for number, (clock, width) in enumerate(self.plan.widths.items()):
            before = f" + c->batch * ({' + '.join(terms)})" if terms else ""
            yield f"float *const left_{number + 1} = {self.left()}{before};"
            terms.append(f"({self.context.all_steps(clock)}) * {width}")

    def left(self) -> str:
        """Say where in the workspace the numbers of time steps begin: behind the buffers of all rows."""
        own = self.plan.workspaces.get(BATCH)
        return f"c->workspace + c->batch * {own}" if own else "c->workspace"

    def behind_regions(self) -> str:
        """Say where in the workspace the numbers of time steps end."""
        terms = [f"({self.context.all_steps(clock)}) * {width}" for clock, width in self.plan.widths.items()]
        return f" + c->batch * ({' + '.join(terms)})" if terms else ""

    def copied(self, target: Address, vector: Vector, time: str = "t") -> Iterator[str]:
        """Copy a row of the inputs."""
        size, spec = self.context.size(vector), self.plan.input_of(vector)
        if not in_front(spec):
            array = f"c->{self.parameters[spec.name]}"
            places = dict.fromkeys(self.counts(), time) | {BATCH: "(row + i)"}
            spread = Spread.of(array, spec, places, self.counts())
            yield from spread.copied(target, vector.dtype, out=False)
        elif vector.size == 1:
            yield f"{target.item()} = {self.source(vector, size, time).item()};"
        else:
            yield f"memcpy({target}, {self.source(vector, size, time)}, {size} * sizeof({vector.dtype}));"

    def counts(self) -> dict[str, str]:
        """Write how large the free axes of inputs and outputs are, by what stands for them in a shape."""
        lengths = {
            size: f"({length_text(length, 'c->steps')})"
            for spec in self.signature.outputs
            for size in spec.shape
            if isinstance(size, str) and (length := read_length(size)) not in (None, TIME_STEPS)
        }
        others = {name: f"c->{name}" for name in self.signature.free_sizes}
        return {TIME: "c->steps", BATCH: "c->batch"} | lengths | others

    def source(self, vector: Vector, size: str, time: str = "t") -> Address:
        """Say where a row of an input stands, at a time step if that is a sequence."""
        spec = self.plan.input_of(vector)
        return slot_address(f"c->{self.parameters[spec.name]}", spec, time, "row + i", size, self.counts())

    def kept(self, offset: int, clock: Length, time: str = "t") -> Address:
        """Say where a row's numbers stand in the workspace."""
        clocks = list(self.plan.widths)
        region = self.left() if clocks == [TIME_STEPS] else f"left_{clocks.index(clock) + 1}"
        return Address(region).plus(f"({time} * c->batch + row + i) * {self.plan.widths[clock]}", offset)

    def lines(self, buffered: list[Vector]) -> list[str]:
        """Write how what is read at a time step comes into its buffer."""
        found = list[str]()
        for vector in buffered:
            operation = vector.operation
            if not isinstance(operation, Input) or vector in self.plan.buffers.direct:
                continue
            target = Address(self.names[vector]).plus(f"slot * {self.context.buffer_row(vector)}")
            found += self._loaded(target, vector, operation)
        return found

    def _loaded(self, target: Address, vector: Vector, operation: Input) -> Iterator[str]:
        size = f"{self.context.size(vector)} * sizeof({vector.dtype})"
        match operation:
            case Count(clock=clock):
                yield f"{target.item()} = (float){self.context.steps(clock)};"
            case Kept(source=source):
                yield f"memcpy({target}, {self.context.pointer(source, 'i')}, {size});"
            case Number():
                yield f"{target.item()} = ({vector.dtype})t;"
            case Found():
                yield from self._found(target, vector, operation)
            case Taken():
                yield from self._taken(target, vector, operation)
            case Input(leaf=leaf) if leaf == WORKSPACE:
                yield f"memcpy({target}, {self.kept(operation.offset, operation.clock)}, {size});"
            case _:
                yield from self.copied(target, vector)

    def _left(self, source: tuple[Input, int], dtype: str, time: str) -> Address:
        """Say where an earlier walk left the numbers of a row, at a time step if there are several."""
        left, first = source
        if isinstance(left, Kept):
            return self.context.pointer(left.source, "i").plus(first)
        return self.kept(left.offset + first * WORDS[dtype], left.clock, time)

    def _found(self, target: Address, vector: Vector, found: Found) -> Iterator[str]:
        """Write how numbers are read at a time step that others name."""
        steps, kind = self.context.steps(found.source[0].clock), vector.dtype
        words = 1 if isinstance(found.index[0], Kept) else WORDS[INT]
        index, source = self._left(found.index, INT, "t"), self._left(found.source, kind, "(size_t)n")
        size = f"sizeof({kind})" if found.each else f"{vector.size} * sizeof({kind})"
        if found.each:
            yield f"for (int j = 0; j < {vector.size}; j++) {{"
            index = index.plus(times("j", words))
            source, target = source.plus(times("j", WORDS[kind])), target.plus("j")
        else:
            yield "{"
        yield "    int64_t n;"
        yield f"    memcpy(&n, {index}, sizeof n);"
        yield f"    if (n < 0) n += (int64_t){steps};"
        yield f"    if (n >= 0 && n < (int64_t){steps})"
        yield f"        memcpy({target}, {source}, {size});"
        yield f"    else memset({target}, 0, {size});"
        yield "}"

    def _taken(self, target: Address, vector: Vector, taken: Taken) -> Iterator[str]:
        """Write how numbers of other time steps are put side by side; those of a window in a loop."""
        every, taps = taken.frames.every, list(zip(taken.frames.taps, taken.sources, strict=True))
        while taps:
            tap, (source, first) = taps[0]
            count, apart = _window(taps)
            taps = taps[count:]
            steps, size = self.context.steps(source.clock), f"{tap.size} * sizeof({vector.dtype})"
            q = "(ptrdiff_t)t" if every == 1 else f"(ptrdiff_t)(t / {every})"
            terms = [f"(ptrdiff_t){steps} - 1"] if tap.back else []
            terms += [q if tap.times == 1 else f"{tap.times} * {q}"] if tap.times else []
            terms += [f"k * {apart}" if apart != 1 else "k"] if count > 1 else []
            to = target.plus(tap.target).plus(f"k * {tap.size}" if count > 1 else "")
            if every > 1:
                yield f"if (t % {every} == {tap.phase})"
            yield f"for (int k = 0; k < {count}; k++) {{" if count > 1 else "{"
            place = " + ".join([*terms, str(tap.more)] if tap.more or not terms else terms)
            yield f"    const ptrdiff_t n = {place.replace('+ -', '- ')};"
            yield f"    if (n >= 0 && n < (ptrdiff_t){steps})"
            yield f"        memcpy({to}, {self._left((source, first), vector.dtype, '(size_t)n')}, {size});"
            if tap.fill is not None:
                yield f"    else memcpy({to}, {self.context.constant(tap.fill, vector.dtype)}, {size});"
            yield "}"


def _window(taps: list[tuple[Tap, tuple[Input, int]]]) -> tuple[int, int]:
    """Count the first taps that read the same numbers at evenly spaced time steps; give how far apart."""
    one, (source, first) = taps[0]
    apart = taps[1][0].more - one.more if len(taps) > 1 else 0
    for number, (tap, (other, place)) in enumerate(taps):
        target, more = one.target + number * one.size, one.more + number * apart
        same = (source.offset, source.clock, first) == (other.offset, other.clock, place)
        if tap != replace(one, target=target, more=more, fill=tap.fill) or not same:
            return number, apart
        if not _alike(one.fill, tap.fill):
            return number, apart
    return len(taps), apart


def _alike(one: Constant | None, other: Constant | None) -> bool:
    """Whether constants hold the same numbers."""
    if one is None or other is None:
        return one is other
    return one.values.tobytes() == other.values.tobytes()
