"""How fast a net pulls two states apart: its largest Lyapunov exponent, and what follows from it.

Two states that differ by next to nothing are run side by side, on the same inputs, in float64; after each
time step the distance is measured, and set back to what it was (Benettin et al., *Lyapunov characteristic
exponents for smooth dynamical systems*, Meccanica 15, 1980). The mean growth of its logarithm is the
exponent: below zero the net forgets rounding errors, above zero it amplifies them, and then no two
implementations agree for long.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tensors import Array

DISTANCE = 1e-8  # of the two states, relative: far above float64's rounding, far below any curvature
FORGOTTEN = 1e-8  # of a distance, after one step: the rest is the rounding of float64
SETTLING = 4  # one in so many time steps goes by before the distance has turned to where it grows most
AGREEMENT = 0.01  # the relative distance of two runs up to which they are said to agree
NO_END = 1e6  # time steps


def exponent(
    call: Call,
    inputs: Sequence[Array],
    state: Sequence[Array],
    signature: Signature,
    random: np.random.Generator,
) -> float:
    """Estimate the largest Lyapunov exponent, per time step, as the mean over rows and time steps.

    Args:
        call: the module in float64.
        inputs: the time steps to run over, in several rows.
        state: where to begin, not all zeros.
        signature: of the call.
        random: draws the direction of the first distance.
    """
    rows = state[0].shape[signature.state[0].batch_axis]
    growths = list(_growths(call, inputs, state, signature, random, rows))
    return float(np.mean(growths[len(growths) // SETTLING :]))


def _growths(
    call: Call,
    inputs: Sequence[Array],
    state: Sequence[Array],
    signature: Signature,
    random: np.random.Generator,
    rows: int,
) -> Iterator[Array]:
    """Give for each time step how the logarithm of each row's distance grew."""
    axes = [leaf.batch_axis for leaf in signature.state]
    base = [_rows_first(leaf, axis) for leaf, axis in zip(state, axes, strict=True)]
    gap = _of_size(_noise(base, random), _size(base))
    for step in range(signature.sizes(inputs)[TIME]):
        now = zip(signature.cut(inputs, slice(step, step + 1)), signature.inputs, strict=True)
        twice = [np.concatenate([part, part], spec.batch_axis) for part, spec in now]
        moved = [_moved(leaf, delta) for leaf, delta in zip(base, gap, strict=True)]
        pairs = [np.concatenate(pair) for pair in zip(base, moved, strict=True)]
        given = [np.moveaxis(leaf, 0, axis) for leaf, axis in zip(pairs, axes, strict=True)]
        both = call(*twice, *given)[len(signature.outputs) :]
        after = [_rows_first(leaf, axis) for leaf, axis in zip(both, axes, strict=True)]
        base, other = [leaf[:rows] for leaf in after], [leaf[rows:] for leaf in after]
        apart = [_apart(one, two) for one, two in zip(base, other, strict=True)]
        grown = np.maximum(_size(apart) / np.maximum(_size(gap), np.finfo(float).tiny), FORGOTTEN)
        yield np.log(grown)
        fresh, lost = _noise(base, random), grown <= FORGOTTEN
        turned = [_where(lost, new, old) for new, old in zip(fresh, apart, strict=True)]
        gap = _of_size(turned, _size(base))


def horizon(exponent: float, step_error: float) -> int | None:
    """Say for how many time steps errors of ``step_error`` in each of them stay below ``AGREEMENT``.

    An error that is made in each step and grows by ``e ** exponent`` in each later one adds up to
    ``step_error * (e ** (exponent * n) - 1) / (e ** exponent - 1)`` after n steps.

    >>> horizon(0.1, 1e-7), horizon(0.0, 1e-7), horizon(-0.1, 1e-7)
    (92, 100000, None)
    """
    share = AGREEMENT / max(step_error, np.finfo(float).tiny)
    per_step = float(np.expm1(exponent))
    if abs(per_step) < 1 / NO_END:
        steps = share
    elif share * per_step <= -1:
        return None
    else:
        steps = float(np.log1p(share * per_step) / exponent)
    return int(steps) if steps < NO_END else None


def relative(errors: Sequence[Array], values: Sequence[Array]) -> float:
    """Give the size of errors relative to what they are errors of, over floating-point arrays."""
    pairs = [pair for pair in zip(errors, values, strict=True) if pair[1].dtype.kind == "f"]
    error = sum(float(np.sum(np.square(_finite(part), dtype=np.float64))) for part, _ in pairs)
    value = sum(float(np.sum(np.square(_finite(part), dtype=np.float64))) for _, part in pairs)
    return float(np.sqrt(error / max(value, np.finfo(float).tiny)))


def _rows_first(leaf: Array, axis: int) -> Array:
    return np.moveaxis(leaf.astype(np.float64) if leaf.dtype.kind == "f" else leaf, axis, 0)


def _noise(leaves: Sequence[Array], random: np.random.Generator) -> list[Array]:
    """Draw a direction; what is counted in integers has none."""
    drawn = [random.standard_normal(leaf.shape) for leaf in leaves]
    return [np.multiply(one, leaf.dtype.kind == "f") for one, leaf in zip(drawn, leaves, strict=True)]


def _size(leaves: Sequence[Array]) -> Array:
    """Give each row's length over all floating-point leaves; what is infinite has no size."""
    floats = [_finite(leaf) for leaf in leaves if leaf.dtype.kind == "f"]
    squares = [np.square(leaf).reshape(len(leaf), -1).sum(1) for leaf in floats]
    length: Array = np.sqrt(np.sum(squares, axis=0))
    return length


def _of_size(leaves: Sequence[Array], sizes: Array) -> list[Array]:
    """Give each row the length ``DISTANCE``, relative to its state."""
    wanted = DISTANCE * np.where(sizes > 0, sizes, 1.0) / np.maximum(_size(leaves), np.finfo(float).tiny)
    return [leaf * wanted.reshape(-1, *[1] * (leaf.ndim - 1)) for leaf in leaves]


def _moved(leaf: Array, delta: Array) -> Array:
    return leaf + delta if leaf.dtype.kind == "f" else leaf


def _apart(one: Array, other: Array) -> Array:
    if one.dtype.kind != "f":
        return np.zeros(one.shape)
    with np.errstate(invalid="ignore"):
        return _finite(other - one)


def _finite(values: Array) -> Array:
    """Put zeros in the place of what is not finite."""
    return np.where(np.isfinite(values), values, 0.0)


def _where(rows: Array, one: Array, other: Array) -> Array:
    return np.where(rows.reshape(-1, *[1] * (one.ndim - 1)), one, other)
