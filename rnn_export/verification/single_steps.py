"""How far rounding can take single steps, and what a net makes of rounding errors over many of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
import torch

from rnn_export.bundle.golden import RUN, STEP, Case, Dynamics, Golden
from rnn_export.module import eager
from rnn_export.module.sampling import BATCHES, Draw
from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.tensors import Array, TensorSpec
from rnn_export.verification import dynamics
from rnn_export.verification.rounding import spread

AMPLIFYING = 10  # times the longest run: a horizon that is nearer is that of a net that amplifies rounding
MOST_AT_ONCE = 1 << 20  # numbers of inputs and outputs of single steps that are run as one call


def with_rounding(cases: list[Case], double: Call, subject: Subject, draw: Draw, length: int) -> Golden:
    """Say how far rounding can take each single step, and each run if the net amplifies it.

    How much it does is measured over ``length`` time steps.

    Of a sum of n terms it can be the square root of n times what is typical (Higham and Mary, *A new approach
    to probabilistic rounding error analysis*, SIAM J. Sci. Comput. 41, 2019): so much is granted to a step.
    """
    signature = subject.signature
    steps = [case for case in cases if case.kind == STEP]
    if not steps or not any(leaf.dtype == signature.dtype for leaf in signature.state):
        return Golden(cases)
    spreads, terms = _step_spreads(steps, double, signature)
    found = _dynamics(steps, spreads, terms, subject, draw, length)
    most = {name: tuple(part * np.float32(sqrt(terms)) for part in parts) for name, parts in spreads.items()}
    longest = max(case.time for case in cases)
    if found.horizon is not None and found.horizon < AMPLIFYING * longest:
        for case in cases:
            if case.kind == RUN:
                most[case.name], _ = spread(double, case.arguments, case.float64, signature)
    return Golden([replace(case, rounding=most.get(case.name, ())) for case in cases], found)


def _step_spreads(
    steps: Sequence[Case], double: Call, signature: Signature
) -> tuple[dict[str, tuple[Array, ...]], int]:
    """Say how far rounding can take each single step: many of them, of contexts of one size, as one call."""

    def side_by_side(cases: Sequence[Sequence[Array]], specs: Sequence[TensorSpec]) -> list[Array]:
        parts = zip(*cases, strict=True)
        return [np.concatenate(each, spec.batch_axis) for each, spec in zip(parts, specs, strict=True)]

    alike = dict[tuple[int, ...], list[Case]]()
    for case in steps:
        sizes = signature.sizes(case.inputs)
        alike.setdefault(tuple(sizes[name] for name in signature.free_sizes), []).append(case)
    spreads, longest = dict[str, tuple[Array, ...]](), 1
    for cases in (part for every in alike.values() for part in _parts(every)):
        arguments = side_by_side([case.arguments for case in cases], signature.arguments)
        right = side_by_side([case.float64 for case in cases], signature.results)
        found, terms = spread(double, arguments, right, signature)
        ends = np.cumsum([case.batch for case in cases])[:-1]
        apart = [
            np.split(each, ends, spec.batch_axis) for each, spec in zip(found, signature.results, strict=True)
        ]
        names = [case.name for case in cases]
        spreads |= dict(zip(names, zip(*apart, strict=True), strict=True))
        longest = max(longest, terms)
    return spreads, longest


def _parts(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Give single steps in parts that do not hold too many numbers."""
    part, room = list[Case](), MOST_AT_ONCE
    for case in cases:
        size = sum(array.size for array in (*case.arguments, *case.float64))
        if part and size > room:
            yield part
            part, room = [], MOST_AT_ONCE
        part.append(case)
        room -= size
    yield part


def _dynamics(
    steps: Sequence[Case],
    spreads: dict[str, tuple[Array, ...]],
    terms: int,
    subject: Subject,
    draw: Draw,
    length: int,
) -> Dynamics:
    signature = replace(subject.signature, lengths=False)
    call = eager.start(replace(subject, signature=signature), torch.float64)
    inputs = draw.inputs(length, max(BATCHES))
    state = draw.state(max(BATCHES))
    outputs = len(signature.outputs)
    exponent = dynamics.exponent(call, inputs, state, signature, draw.random)
    pairs = [
        (error, value)
        for case in steps
        for error, value in zip(spreads[case.name][outputs:], case.float64[outputs:], strict=True)
    ]
    step_error = dynamics.relative(*zip(*pairs, strict=True))
    horizon = dynamics.horizon(exponent, step_error)
    return Dynamics(exponent, step_error, terms, dynamics.AGREEMENT, horizon)
