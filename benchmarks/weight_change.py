"""Measure the smallest change of a weight that verification always sees, over the models of the tests.

    python benchmarks/weight_change.py            all of them: minutes
    python benchmarks/weight_change.py rnn gru    some

A parameter, or the largest number of it alone, is multiplied by 1 + d, and the module run in float64 on the
golden vectors of a few time steps. It is always seen if some result then is off by twice what is allowed: a
right file is off by what is allowed at the most, so that its own errors cannot hide as much. Prints for each
model the least d with which every parameter is seen, and which parameter needs it.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from rnn_export.bundle.golden import STEP, Case
from rnn_export.module import eager
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Call
from rnn_export.signature.tensors import Array
from rnn_export.verification import grid, tolerance
from tests.support.cases import CASES, ModelCase

MOST = 32  # time steps
CHANGES = np.geomspace(1e-16, 1, 129)  # eight of each power of ten
Change = Callable[[Tensor, float], Tensor]


def all_of_it(weight: Tensor, change: float) -> Tensor:
    """Change every number of a parameter."""
    return weight * (1 + change)


def largest_alone(weight: Tensor, change: float) -> Tensor:
    """Change the largest number of a parameter."""
    changed = weight.clone().flatten()
    changed[int(changed.abs().argmax())] *= 1 + change
    return changed.reshape(weight.shape)


def least_changes(case: ModelCase, change: Change) -> Iterator[tuple[str, float]]:
    """Give for each parameter of a model the least change that is always seen; infinity if none is."""
    subject = find_streaming(inspect_module(*case.build()))
    cases = grid.build(subject).cases
    allowed = tolerance.bounds(cases, subject.signature)
    looked_at = sorted((each for each in cases if each.time <= MOST), key=lambda each: each.kind != STEP)
    model = eager.prepare(subject, torch.float64, own=True)
    call = eager.caller(model, subject, torch.float64)
    for name, weight in model.named_parameters():
        before = weight.detach().clone()
        low, high = -1, len(CHANGES)  # the least that is seen is behind the first, and not behind the second
        while high - low > 1:
            middle = (low + high) // 2
            with torch.no_grad():
                weight.copy_(change(before, float(CHANGES[middle])))
            seen = any(_is_seen(call, each, allowed[each.name], subject) for each in looked_at)
            low, high = (low, middle) if seen else (middle, high)
        with torch.no_grad():
            weight.copy_(before)
        yield name, float(CHANGES[high]) if high < len(CHANGES) else float("inf")


def _is_seen(call: Call, case: Case, allowed: Sequence[Array], subject: Subject) -> bool:
    own = case.results(subject.signature.dtype)
    return any(
        bool((tolerance.distance(got, one, want) > 2 * most).any())
        for got, one, want, most in zip(call(*case.arguments), own, case.float64, allowed, strict=True)
    )


def main() -> None:
    """Print a line for each model, and the largest of its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="names of tests/support/cases.py")
    chosen = parser.parse_args().models
    worst = dict.fromkeys(("float32", "float64"), (0.0, 0.0))
    for case in CASES:
        if chosen and case.name not in chosen:
            continue
        found = [
            max(least_changes(case, kind), key=lambda pair: pair[1]) for kind in (all_of_it, largest_alone)
        ]
        texts = [f"{least:.1e} ({name.rpartition('model.')[2]})" for name, least in found]
        print(f"{case.name}: all of a parameter {texts[0]}, its largest number alone {texts[1]}", flush=True)
        dtype = "float64" if "float64" in case.name else "float32"
        (_, whole), (_, alone) = found
        worst[dtype] = max(worst[dtype][0], whole), max(worst[dtype][1], alone)
    for dtype, (whole, alone) in worst.items():
        print(
            f"always seen in {dtype}: a parameter times 1 + {whole:.1e}, "
            f"its largest number times 1 + {alone:.1e}"
        )


if __name__ == "__main__":
    main()
