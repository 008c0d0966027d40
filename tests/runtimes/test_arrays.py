"""Whatever callers have their numbers in, a runner gives what it gives for arrays."""

from typing import Any

import numpy as np
import pytest
import torch

import rnn_export
from rnn_export.errors import InputError
from rnn_export.runtimes.arrays import as_array
from rnn_export.signature.tensors import TensorSpec
from tests.support.paths import ARTIFACTS

NUMBERS = np.arange(5 * 2 * 16, dtype=np.float32).reshape(5, 2, 16) / 100


class WithArray:
    """What pandas, JAX and others have."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return NUMBERS


class WithDlpack:
    def __dlpack__(self, **options: Any) -> Any:
        return NUMBERS.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[Any, int]:
        return NUMBERS.__dlpack_device__()


KINDS = {
    "a tensor": torch.from_numpy(NUMBERS),
    "a tensor with a gradient": torch.from_numpy(NUMBERS).clone().requires_grad_(),
    "a parameter": torch.nn.Parameter(torch.from_numpy(NUMBERS)),
    "lists": NUMBERS.tolist(),
    "a list of arrays": list(NUMBERS),
    "a list of tensors": list(torch.from_numpy(NUMBERS)),
    "__array__": WithArray(),
    "DLPack": WithDlpack(),
}


@pytest.mark.parametrize("given", KINDS.values(), ids=KINDS)
def test_a_runner_takes_it(given: Any) -> None:
    runner = rnn_export.load(ARTIFACTS / "rnn_scratch")
    state = runner.initial_state(2)
    want, (after,) = runner(NUMBERS, state)
    for own in (state, [torch.from_numpy(state[0])], [state[0].tolist()], None):
        got, (then,) = runner(given, own)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(then, after)
    np.testing.assert_array_equal(runner({"inputs": given})[0], want)


def test_token_ids_are_taken_as_lists() -> None:
    runner = rnn_export.load(ARTIFACTS / "char_rnn")
    ids = [[1, 2], [3, 4], [5, 6]]
    np.testing.assert_array_equal(runner(ids)[0], runner(np.array(ids))[0])


IDS, FLOATS = TensorSpec("ids", "int64", ("time", "batch")), TensorSpec("x", "float32", ("time", "batch", 2))
WRONG: dict[str, tuple[Any, TensorSpec, str]] = {
    "fractions for token ids": (
        [[0.5]],
        IDS,
        r"argument 'ids': expected int64 .*, got list of float64. Pass",
    ),
    "words": ([["a"]], FLOATS, "got list of <U1. Pass numbers that are float32"),
    "rows of several lengths": ([[1.0], [1.0, 2.0]], FLOATS, "parts of several lengths. Pad the rows"),
    "bfloat16": (torch.zeros(1, 1, 2).bfloat16(), FLOATS, r"got bfloat16 \[1, 1, 2\]. Convert it to float32"),
    "a path": ("x.npy", FLOATS, "got str. Pass a numpy array, a torch tensor, a list"),
}


@pytest.mark.parametrize(("given", "spec", "message"), WRONG.values(), ids=WRONG)
def test_what_is_none_is_named(given: Any, spec: TensorSpec, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_array(given, spec)
