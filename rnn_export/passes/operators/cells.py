"""Which ONNX operator a step is, found by trying every assignment of its activations to the gates.

For a GRU, of the step's three activations ``a_0, a_1, a_2`` and the next state ``h'``::

    z, r, n = a_1, a_0, a_2          one of six assignments
    h' = (1 - z) n + z h             holds at random points, or not
    z = sigmoid (x W_z + h R_z + b_z)    measured: the argument of a_1 at zero and at unit vectors

Part of :mod:`rnn_export.passes.operators.recognize`. An operator is one function here and one line in
``RULES``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any, TypeVar

import numpy as np

from rnn_export.passes.operators.step_function import Step
from rnn_export.program.operator_facts import RECURRENT
from rnn_export.signature.tensors import Array

ROWS = 512  # that are measured at once: all between the activations is kept for each
POINTS = 4  # random points at which an equation has to hold
TOLERANCE = 1e-9  # float64, relative to the largest value
T = TypeVar("T")


@dataclass(frozen=True)
class Affine:
    """``x W + h R + b``: W has shape ``[I, H]``, R ``[H, H]``, b ``[H]``."""

    W: Array
    R: Array
    b: Array


@dataclass(frozen=True)
class Operator:
    """A proposal: the operator, its gates in its order, and which state is which."""

    op_type: str
    gates: tuple[Affine, ...]
    recurrent_biases: tuple[Array, ...]
    activations: tuple[str, ...]
    states: tuple[int, ...]  # the numbers of h, and of c
    attributes: dict[str, int]


def propose(step: Step) -> Iterator[Operator]:
    """Give every operator whose equations hold for the step."""
    probe = Probe(step)
    for rule in RULES:
        yield from rule(step, probe)


class Probe:
    """Random points of the step, and its measured weights."""

    def __init__(self, step: Step) -> None:
        self.step = step
        random = np.random.default_rng(0)
        self.x = random.standard_normal((POINTS, step.size))
        self.states = [random.standard_normal((POINTS, step.hidden)) for _ in range(step.states)]
        self.activations = [random.standard_normal((POINTS, step.hidden)) for _ in step.kinds]
        self.arguments, self.following = step.call(self.x, self.states, self.activations)
        self.measured: dict[tuple[Any, ...], tuple[list[Array], list[Array]]] = {}

    def holds(self, got: Array, want: Array) -> bool:
        """Whether an equation holds at the random points."""
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        return got.shape == want.shape and bool(np.abs(got - want).max(initial=0) <= TOLERANCE * scale)

    def affine(self, number: int, h: int, fixed: dict[int, float] | None = None) -> Affine | None:
        """Measure the argument of an activation, the activations in ``fixed`` held at a value.

        Row 0 is at zero and gives b; the next I rows, at unit vectors of x, give W; the last H rows R.
        """
        given = h, *sorted((fixed or {}).items())
        if given not in self.measured:
            self.measured[given] = self._measure(h, fixed)
        measured, at_random = (arguments[number] for arguments in self.measured[given])
        size, hidden = self.step.size, self.step.hidden
        if measured.shape != (1 + size + hidden, hidden):
            return None
        bias = measured[0]
        found = Affine(measured[1 : 1 + size] - bias, measured[1 + size :] - bias, bias)
        return found if self.holds(self.value(found, h), at_random) else None

    def _measure(self, h: int, fixed: dict[int, float] | None) -> tuple[list[Array], list[Array]]:
        """Give the arguments of all activations at zero and at unit vectors, and at the random points."""
        step = self.step
        rows = 1 + step.size + step.hidden
        parts = list[list[Array]]()
        for begin in range(0, rows, ROWS):
            units = np.eye(min(ROWS, rows - begin), rows, begin)
            states = [np.zeros((len(units), step.hidden)) for _ in range(step.states)]
            states[h][:] = units[:, 1 + step.size :]
            given = self._activations(len(units), fixed)
            parts.append(step.call(units[:, 1 : 1 + step.size], states, given)[0])
        at_units = [np.concatenate(part) for part in zip(*parts, strict=True)]
        at_random, _ = step.call(self.x, self.states, self._activations(POINTS, fixed, random=True))
        return at_units, at_random

    def value(self, affine: Affine, h: int) -> Array:
        """Give an affine form at the random points."""
        value: Array = self.x @ affine.W + self.states[h] @ affine.R + affine.b
        return value

    def _activations(self, rows: int, fixed: dict[int, float] | None, random: bool = False) -> list[Array]:
        """Give the free activations: held at a value, or random, or zero."""
        free = self.activations if random else [np.zeros((rows, self.step.hidden))] * len(self.step.kinds)
        held = {k: np.full((rows, self.step.hidden), value) for k, value in (fixed or {}).items()}
        return [held.get(k, activation) for k, activation in enumerate(free)]


def _rnn(step: Step, probe: Probe) -> Iterator[Operator]:
    if step.states != 1 or len(step.kinds) != 1:
        return
    gate = probe.affine(0, 0)
    if gate and probe.holds(probe.following[0], probe.activations[0]):
        yield Operator("RNN", (gate,), (np.zeros(step.hidden),), step.kinds, (0,), {})


def _gru(step: Step, probe: Probe) -> Iterator[Operator]:
    if step.states != 1 or len(step.kinds) != 3:
        return
    for z, r, n in permutations(range(3)):
        shares = _update_gate(step, probe, z, n)
        if shares is None or step.kinds[z] != step.kinds[r]:
            continue
        resets = probe.affine(r, 0)
        shut, opened = probe.affine(n, 0, {r: 0.0}), probe.affine(n, 0, {r: 1.0})
        if resets and shut and opened and not shut.R.any():
            yield from _resetting(probe, (z, r, n), (shares, resets, shut, opened))


def _update_gate(step: Step, probe: Probe, z: int, n: int) -> Affine | None:
    """Measure the update gate, if the next state mixes ``n`` and ``h`` by it, this way round or the other."""
    h, update, candidate = probe.states[0], probe.activations[z], probe.activations[n]
    kept = probe.holds(probe.following[0], (1 - update) * candidate + update * h)
    swapped = probe.holds(probe.following[0], update * candidate + (1 - update) * h)
    if not kept and not (swapped and step.kinds[z] == "Sigmoid"):
        return None
    shares = probe.affine(z, 0)
    if swapped and shares:  # 1 - sigmoid(a) = sigmoid(-a)
        return Affine(-shares.W, -shares.R, -shares.b)
    return shares


def _resetting(
    probe: Probe, roles: tuple[int, int, int], measured: tuple[Affine, Affine, Affine, Affine]
) -> Iterator[Operator]:
    """Give the operator whose reset gate stands before the product with R, and the one with it behind."""
    (z, r, n), (shares, resets, shut, opened), step = roles, measured, probe.step
    h, reset = probe.states[0], probe.activations[r]
    before = probe.x @ opened.W + (reset * h) @ opened.R + opened.b
    inner = opened.b - shut.b
    after = probe.x @ opened.W + reset * (h @ opened.R + inner) + shut.b
    zeros = np.zeros(step.hidden)
    for linear, value, bias, recurrent in ((0, before, opened.b, zeros), (1, after, shut.b, inner)):
        if probe.holds(probe.arguments[n], value):
            gates = {"z": shares, "r": resets, "h": Affine(opened.W, opened.R, bias)}
            biases = {"z": zeros, "r": zeros, "h": recurrent}
            yield Operator(
                "GRU",
                _ordered("GRU", gates),
                _ordered("GRU", biases),
                (step.kinds[z], step.kinds[n]),
                (0,),
                {"linear_before_reset": linear},
            )


def _lstm(step: Step, probe: Probe) -> Iterator[Operator]:
    if step.states != 2 or len(step.kinds) != 5:
        return
    for h, c in ((0, 1), (1, 0)):
        for squashed in range(5):
            # what the last activation takes is the next cell
            if probe.holds(probe.arguments[squashed], probe.following[c]):
                for roles in permutations([k for k in range(5) if k != squashed]):
                    yield from _with_gates(probe, (h, c), squashed, roles)


def _with_gates(
    probe: Probe, states: tuple[int, int], squashed: int, roles: tuple[int, ...]
) -> Iterator[Operator]:
    """Give the operator in which four activations are the gates ``i, o, f`` and ``c``, if it holds."""
    (h, c), (i, o, f, g) = states, roles
    a, kinds = probe.activations, probe.step.kinds
    if not kinds[i] == kinds[o] == kinds[f]:
        return
    cell = probe.holds(probe.following[c], a[f] * probe.states[c] + a[i] * a[g])
    if not cell or not probe.holds(probe.following[h], a[o] * a[squashed]):
        return
    measured = {name: probe.affine(k, h) for name, k in zip("iofc", roles, strict=True)}
    gates = {name: gate for name, gate in measured.items() if gate}
    if len(gates) == len(measured):
        zeros = (np.zeros(probe.step.hidden),) * len(gates)
        used = (kinds[i], kinds[g], kinds[squashed])
        yield Operator("LSTM", _ordered("LSTM", gates), zeros, used, (h, c), {})


def _ordered(op_type: str, gates: Mapping[str, T]) -> tuple[T, ...]:
    """Put what belongs to the gates in the operator's order."""
    return tuple(gates[name] for name in RECURRENT[op_type].gates)


RULES: tuple[Callable[[Step, Probe], Iterator[Operator]], ...] = (_rnn, _gru, _lstm)
