"""What rounding can make of a computation: float64, with the rounding errors of another precision put in.

Every operation gets a random error as large as a machine with that precision could make there (Parker,
*Monte Carlo Arithmetic*, 1997): eps times the result, and for a product of matrices eps times the sum of the
magnitudes, ``|a| @ |b|``, which is what the error of a sum of n terms goes by (Higham, *Accuracy and
Stability of Numerical Algorithms*, section 3.1). How far apart such runs are says how far apart right
implementations can be, and not only how lucky one of them was.
"""

from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.tensors import Array

SEED = 20261124
RUNS, SAMPLES = 2, 4  # of a call, and of each of its rows in a run
COPIES, NOISE = 16, 16  # rows of which each is run so often, with errors so many times as large
Arrays = tuple[Array, ...]

aten = torch.ops.aten
# Sums of products, and how many terms they have.
TERMS: dict[Any, Callable[..., int]] = {
    aten.dot.default: lambda a, b: int(a.shape[-1]),
    aten.mv.default: lambda a, b: int(a.shape[-1]),
    aten.mm.default: lambda a, b: int(a.shape[-1]),
    aten.bmm.default: lambda a, b: int(a.shape[-1]),
    aten.addmv.default: lambda c, a, b: int(a.shape[-1]),
    aten.addmm.default: lambda c, a, b: int(a.shape[-1]),
    aten.baddbmm.default: lambda c, a, b: int(a.shape[-1]),
    aten.convolution.default: lambda x, weight, *rest: int(weight[0].numel()),
}
# What only moves numbers is exact.
EXACT = {
    aten._to_copy.default,
    aten.cat.default,
    aten.clone.default,
    aten.copy_.default,
    aten.embedding.default,
    aten.gather.default,
    aten.index.Tensor,
    aten.index_select.default,
    aten.stack.default,
}

ZEROS = {aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default}  # what a state begins with


class Rounding(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Puts a random rounding error of relative size ``eps`` into every operation that runs inside.

    ``terms`` becomes the number of terms of the longest sum of products that was seen. With ``of_largest``
    an error is as large as it is for the largest number of the same tensor.
    """

    def __init__(self, eps: float, seed: int, *, of_largest: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.eps, self.of_largest = eps, of_largest
        self.random = torch.Generator().manual_seed(seed)
        self.terms = 1

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, one that is made of others as these."""
        kwargs = kwargs or {}
        if function.is_view or function in EXACT:
            return function(*args, **kwargs)
        with self:
            composed = function.decompose(*args, **kwargs)
        if composed is not NotImplemented:
            return composed
        result = function(*args, **kwargs)
        if function in TERMS:
            self.terms = max(self.terms, TERMS[function](*args))
            magnitude = function(*tree_map_only(torch.Tensor, torch.abs, args), **kwargs)
            return result + self._error(magnitude)
        if function._schema.is_mutable:
            return result.add_(self._error(result)) if _is_float(result) else result
        return tree_map_only(torch.Tensor, lambda x: x + self._error(x) if _is_float(x) else x, result)

    def _error(self, magnitude: torch.Tensor) -> torch.Tensor:
        magnitude = magnitude.nan_to_num(0.0, 0.0, 0.0)  # an infinity is exact
        if self.of_largest and magnitude.numel():
            magnitude = magnitude.abs().max().expand_as(magnitude)
        if magnitude.is_complex():
            both = torch.view_as_real(magnitude)
            return torch.view_as_complex(self._error(magnitude.abs()[..., None].expand_as(both)))
        noise = torch.rand(magnitude.shape, generator=self.random, dtype=torch.float64)
        return (2 * noise - 1).to(magnitude.dtype) * magnitude * self.eps


class RoundingOfWeights(Rounding):  # type: ignore[no-untyped-call]
    """Puts rounding errors into what is computed of weights alone: the same ones wherever that is done anew.

    ``rounded`` says whether anything was.
    """

    def __init__(self, weights: Sequence[torch.Tensor], eps: float, seed: int) -> None:
        super().__init__(eps, seed)
        self.rounded, self._seed = False, seed
        self._constants = WeakTensorKeyDictionary()
        self._constants.update(dict.fromkeys(weights, True))

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; what writes into a constant makes a variable of it."""
        kwargs = kwargs or {}
        given = _tensors((args, kwargs))
        if function in ZEROS or not all(tensor in self._constants for tensor in given):
            result = function(*args, **kwargs)
            if function._schema.is_mutable:
                self._constants.pop(result, None)  # type: ignore[no-untyped-call]
            return result
        if given:
            self.random.manual_seed(self._seed ^ crc32(str(function).encode()))
            self.rounded = self.rounded or not (function.is_view or function in EXACT)
            result = super().__torch_dispatch__(function, types, args, kwargs)
        else:
            result = function(*args, **kwargs)  # made of numbers
        self._constants.update(dict.fromkeys(_tensors(result), True))
        return result


def _tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())


def spread(
    call: Call, arguments: Sequence[Array], right: Sequence[Array], signature: Signature
) -> tuple[Arrays, int]:
    """Say how far from its float64 results a call can be where every operation rounds to the net's dtype.

    Args:
        call: the module in float64, in which rows do not depend on each other.
        arguments: of the call.
        right: its results without rounding.
        signature: of the call.

    Returns:
        For each result an array of its shape, the largest distance of some samples, and the number of terms
        of the longest sum of products.
    """
    mode = Rounding(float(np.finfo(signature.dtype).eps), SEED)
    largest = [np.zeros(result.shape) for result in right]
    copies = _copied(arguments, SAMPLES, signature)
    for _ in range(RUNS):
        with mode:
            results = call(*copies)
        for most, result, exact, spec in zip(largest, results, right, signature.results, strict=True):
            for part in np.split(result.astype(np.float64), SAMPLES, spec.batch_axis):
                with np.errstate(invalid="ignore"):
                    np.fmax(most, np.abs(part - exact), out=most)
    with np.errstate(over="ignore"):
        return tuple(most.astype(np.float32) for most in largest), mode.terms


def _copied(arguments: Sequence[Array], copies: int, signature: Signature) -> list[Array]:
    """Put copies of the rows of a call behind them."""
    return [
        np.concatenate([array] * copies, spec.batch_axis)
        for array, spec in zip(arguments, signature.arguments, strict=True)
    ]


def undecided(
    call: Call,
    arguments: Sequence[Array],
    right: Sequence[Array],
    signature: Signature,
    *,
    of_largest: bool = False,
) -> Arrays:
    """Say which whole numbers and truth values of a call's results rounding may turn into others.

    The largest of two logits that are nearly alike is one or the other, for right implementations, and that
    of several that saturate is any of them. Every row is run in several copies, each with random errors
    ``NOISE`` times as large as those of the dtype.

    Args:
        call: the module in float64, in which rows do not depend on each other.
        arguments: of the call.
        right: its results without rounding.
        signature: of the call.
        of_largest: whether an error is as large as for the largest number of a tensor: runtimes may lose all
            digits of a function that is nearly zero, as that of a large argument is.

    Returns:
        For each result that is not of floats an array of its shape, true where a copy gave another value.
    """
    copies = _copied(arguments, COPIES, signature)
    with Rounding(float(np.finfo(signature.dtype).eps) * NOISE, SEED, of_largest=of_largest):
        results = call(*copies)
    return tuple(
        np.any([part != exact for part in np.split(result, COPIES, spec.batch_axis)], axis=0)
        for result, exact, spec in zip(results, right, signature.results, strict=True)
        if result.dtype.kind != "f"
    )
