"""What a recurrent submodule is by itself: a loop forward, one backward, or one of each side by side.

Each is a hypothesis. What is made of it has to give what the submodule gave in every call that the model made
of it, at three sizes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.capture.around.calls import Call, along
from rnn_export.capture.around.opaque import Axes, Joined, Piece, by_program, turned
from rnn_export.errors import CaptureError, RnnExportError, class_name
from rnn_export.failures import typed
from rnn_export.module.arguments import Arguments, is_tensor, tensors_of
from rnn_export.module.candidates import Said
from rnn_export.module.inspection import inspect_export
from rnn_export.module.naming import parameter_names
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import Wrapper
from rnn_export.program.agree import same
from rnn_export.program.program import Program
from rnn_export.program.quiet import quiet
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tree import map_leaves

Capture = Callable[[Subject], tuple[Program, torch.jit.ScriptModule | None]]
Sized = Sequence[Call]  # one call of a model: as it is, with more time steps, with more rows
Picked = tuple[int, int, int]  # the axis, the first of the entries that are wanted, and how many
Way = tuple[int, int, int]  # the axis, how many entries of it are of the loop forward, and how many there are


class Turned(Wrapper):
    """A module that runs from the last time step to the first, as one that runs forward."""

    def __init__(self, original: nn.Module, taken: Axes, given: Axes) -> None:
        super().__init__(original)
        self.taken, self.given = taken, given

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Turn what goes in and what comes out."""
        args, kwargs = _turned((args, kwargs), self.taken)
        return _turned(self.original(*args, **kwargs), self.given)


class Part(Wrapper):
    """A module that gives some entries of each of its results."""

    def __init__(self, original: nn.Module, picked: Sequence[Picked | None]) -> None:
        super().__init__(original)
        self.picked = tuple(picked)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Give the entries that are wanted."""
        ways = iter(self.picked)

        def pick(leaf: Any) -> Any:
            way = next(ways) if is_tensor(leaf) else None
            return leaf if way is None else leaf.narrow(*way)

        return map_leaves(self.original(*args, **kwargs), pick)


def _turned(value: Any, axes: Axes) -> Any:
    rest = iter(axes)
    return map_leaves(value, lambda leaf: turned(leaf, next(rest)) if is_tensor(leaf) else leaf)


def by_itself(module: nn.Module, calls: Sequence[Sized], capture: Capture) -> Joined:
    """Give what a recurrent submodule is by itself.

    Args:
        module: the submodule.
        calls: the calls that the model makes of it, alike but for their sizes and numbers.
        capture: makes a Program, and TorchScript if it can, of a module that was looked at.

    Raises:
        CaptureError: no hypothesis holds.
    """
    recurrent, failures = _Recurrent(module, calls, capture), list[str]()
    for make in recurrent.hypotheses():
        try:
            with typed("it", CaptureError, "Please report it."):  # a hypothesis may fail in any way
                return make()
        except RnnExportError as error:
            failures.append(str(error).partition("\n")[0])
    raise CaptureError(f"{class_name(module)} is no loop over time steps: {failures[-1]}")


class _Recurrent:
    """A submodule, the calls of it, and the axes of what goes in and comes out."""

    def __init__(self, module: nn.Module, calls: Sequence[Sized], capture: Capture) -> None:
        self.module, self.calls, self.capture = module, calls, capture
        self.taken = along([[leaf for _, leaf in call.arguments.leaves] for call in calls[0]])
        self.given = along([tensors_of(call.result) for call in calls[0]])

    def hypotheses(self) -> Iterator[Callable[[], Joined]]:
        """List what it may be: a loop backward, what it is as it stands, or loops of both directions.

        Which of them is seen by changing the first and the last time step::

            y = cat([forward(x), backward(x)], -1)     y[..., :H] does not change with the last time step
                                                       y[..., H:] does not change with the first one
        """
        none = (None,) * len(self.given)
        call, times = self.calls[0][0], [time for time, _ in self.taken]
        with torch.no_grad():
            first, last = (_changes(self.module, call.arguments, times, at) for at in (0, -1))
        ahead, behind = (
            [
                None if time is None else leaf.narrow(time, start, leaf.shape[time] - 1)
                for leaf, (time, _) in zip(leaves, self.given, strict=True)
            ]
            for leaves, start in ((last, 0), (first, 1))
        )
        looks_ahead, looks_back = (
            any(leaf is not None and bool(leaf.any()) for leaf in leaves) for leaves in (ahead, behind)
        )
        if looks_ahead and not looks_back:
            yield lambda: Joined((self.piece(none, turned=True),), none)
        yield lambda: Joined((self.piece(none, turned=False),), none)
        if looks_ahead and looks_back:
            for ways in self._ways(ahead, behind):
                yield partial(self._both_ways, ways)
        elif all(time is None for time, _ in self.given):
            yield lambda: Joined((self.piece(none, turned=True),), none)
        timed = [number for number, time in enumerate(times) if time is not None]
        for number in timed if len(timed) > 1 else ():  # what is as long may be read as a whole, in each step
            for backward in (False, True):
                yield partial(self._beside, number, turned=backward)

    def _beside(self, context: int, *, turned: bool) -> Joined:
        """Take one tensor for the same in all time steps, such as the memory of an attention."""
        none = (None,) * len(self.given)
        return Joined((self.piece(none, turned=turned, context=context),), none)

    def _both_ways(self, ways: Sequence[Way]) -> Joined:
        """Take a loop forward and one backward apart, whose results stand side by side."""
        front = [(axis, 0, size) for axis, size, _ in ways]
        behind = [(axis, size, whole - size) for axis, size, whole in ways]
        pieces = self.piece(front, turned=False), self.piece(behind, turned=True)
        return Joined(pieces, tuple(axis for axis, _, _ in ways))

    def _ways(self, ahead: Sequence[Tensor | None], behind: Sequence[Tensor | None]) -> Iterator[list[Way]]:
        """List along which axis each result may be joined, how many entries are those of the loop forward.

        Of a result without a time axis nothing shows that: halves are tried.
        """
        options = list[list[Way]]()
        for one, other, leaf, axes in zip(
            ahead, behind, tensors_of(self.calls[0][0].result), self.given, strict=True
        ):
            sizes = {axis: size for axis, size in enumerate(leaf.shape) if axis not in axes}
            options.append(
                [
                    (axis, count, size)
                    for axis, size in sizes.items()
                    if (
                        count := (size + 1) % 2 * size // 2
                        if one is None or other is None
                        else _forward_first(_reached(one, axis), _reached(other, axis))
                    )
                ]
            )
        for place in range(max(map(len, options), default=0)):
            if all(options):
                yield [each[min(place, len(each) - 1)] for each in options]

    def times(self, *, turned: bool, context: int | None = None) -> tuple[Axes, Axes]:
        """Give the time axes of what goes in and comes out, if that is turned around; none otherwise."""
        taken, given = (
            tuple(time if turned else None for time, _ in axes) for axes in (self.taken, self.given)
        )
        return tuple(None if number == context else time for number, time in enumerate(taken)), given

    def piece(self, picked: Sequence[Picked | None], *, turned: bool, context: int | None = None) -> Piece:
        """Give some entries of the results as a loop, which runs backward if it is ``turned``.

        Of the tensors that go in, the one of the number ``context`` has no time steps.

        Raises:
            RnnExportError: it is none.
        """
        axes, first = self.times(turned=turned, context=context), self.calls[0][0].arguments
        module = Part(self.module, picked) if any(picked) else self.module
        module = (Turned(module, *axes) if turned else module).eval()
        names = parameter_names(module, first)
        said = {
            name: [
                {time: None if number == context else TIME, batch: BATCH}.get(axis)
                for axis in range(leaf.dim())
            ]
            for number, (name, (_, leaf), (time, batch)) in enumerate(
                zip(names, first.leaves, self.taken, strict=True)
            )
            if time is not None and batch is not None
        }
        with quiet():
            subject = inspect_export(module, first.args, kwargs=first.kwargs, said=Said(said))
        program, scripted = self.capture(subject)
        every = Piece(program, scripted, axes, ())
        return replace(every, picked=self._places(every, picked))

    def _places(self, every: Piece, picked: Sequence[Picked | None]) -> tuple[int, ...]:
        """Find which result of a Program is each that comes out, by the numbers of all calls."""
        known, run = every.signature.output_names, by_program(every)
        own = [known.index(name) for name in every.signature.file_outputs]
        left = [[*dict.fromkeys([*own[number : number + 1], *own])] for number in range(len(self.given))]
        for call in (each for sized in self.calls for each in sized):
            results = every.all_results([leaf for _, leaf in call.arguments.leaves], run)
            for number, (want, way) in enumerate(zip(tensors_of(call.result), picked, strict=True)):
                wanted = (want if way is None else want.narrow(*way)).numpy()
                axis = every.turned[1][number]
                left[number] = [
                    place for place in left[number] if same(wanted, turned(results[place], axis).numpy())
                ]
        if not all(left):
            raise CaptureError(f"what was made of {class_name(self.module)} gives something else.")
        return tuple(places[0] for places in left)


def _reached(changed: Tensor, axis: int) -> list[bool]:
    return [bool(changed.select(axis, entry).any()) for entry in range(changed.shape[axis])]


def _forward_first(ahead: list[bool], behind: list[bool]) -> int:
    """Count the entries in front that no later time step reaches; 0 if the others are no loop backward."""
    count = ahead.index(True) if True in ahead else 0
    return (
        count if ahead == [False] * count + [True] * (len(ahead) - count) and not any(behind[count:]) else 0
    )


def _other(leaf: Tensor, time: int, at: int) -> Tensor:
    """Give other entries for the first or the last time step; whole numbers are those of one beside it."""
    if leaf.is_floating_point():
        return leaf.select(time, at) + 1
    return ~leaf.select(time, at) if leaf.dtype == torch.bool else leaf.select(time, -2 if at else 1)


def _changes(module: nn.Module, arguments: Arguments, times: Sequence[int | None], at: int) -> list[Tensor]:
    """Say which numbers of the results change with one time step of all sequences."""
    leaves = [leaf.clone() for _, leaf in arguments.leaves]
    for leaf, time in zip(leaves, times, strict=True):
        if time is not None:
            leaf.select(time, at).copy_(_other(leaf, time, at))
    args, kwargs = arguments.given(leaves)
    own, given = arguments.mapped(torch.clone), tensors_of(module(*args, **kwargs))
    before = tensors_of(module(*own.args, **own.kwargs))
    return [one != other for one, other in zip(before, given, strict=True)]
