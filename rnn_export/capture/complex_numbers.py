"""Complex numbers as pairs of real ones: no file has any, and a graph can do without.

::

    h = lam * h + x.to(complex64) @ B        h_re = lam_re * h_re - lam_im * h_im + x @ B_re
                                             h_im = lam_re * h_im + lam_im * h_re + x @ B_im
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.fx.node import map_aggregate
from torch.nn import functional

from rnn_export.capture.decompositions import remove_unread

aten = torch.ops.aten
# What moves numbers about, or adds them up: each of the two parts by itself.
MOVING = frozenset(
    getattr(aten, name)
    for name in """
    _unsafe_view alias cat clone cumsum detach expand flip gather index index_select lift_fresh_copy mean
    neg permute repeat roll select slice split split_with_sizes squeeze stack sum t transpose unbind
    unsqueeze view zeros_like
    """.split()  # noqa: SIM905
)
WRITING = frozenset((aten.copy, aten.select_scatter, aten.slice_scatter))  # one tensor into another
HIGHEST = 8  # power
MAKING = (aten.zeros, aten.ones, aten.full)
FOURIER = ("fft_", "_fft_")  # what the names of functions begin with of which ONNX has an operator


@dataclass(frozen=True)
class Pair:
    """The real and the imaginary part of a value; ``None`` for one that is real."""

    re: Any
    im: Any = None


@dataclass(frozen=True)
class Stacked:
    """Both parts along a last axis, that number ``axis``: written if anything but one of them is read."""

    pair: Pair
    axis: int


def is_complex(traced: ExportedProgram) -> bool:
    """Whether anything in a trace is complex."""
    values = (node.meta.get("val") for node in traced.graph.nodes)
    return any(isinstance(value, Tensor) and value.is_complex() for value in values)


def in_reals(traced: ExportedProgram, *, computed: bool) -> nn.Module:
    """Give what a trace computes, as a graph of real numbers.

    Args:
        traced: holds complex ones.
        computed: whether complex numbers that are made of weights alone are computed here, and rounded as
            eager rounds them. Otherwise the graph holds for other precisions.

    Raises:
        NotImplementedError: it holds a function of complex numbers that has no rule here.
    """
    remove_unread(traced.graph)  # what upstream could not decompose, and nothing reads
    module = traced.run_decompositions({}).module(check_guards=False)
    for node in reversed([*module.graph.nodes]):
        if node.op in ("call_function", "call_module") and not node.users:  # an assertion: all else is pure
            module.graph.erase_node(node)
    return _InPairs(module, computed=computed).transform().eval()


class _InPairs(fx.Transformer):
    """Writes a graph anew, each complex value as a :class:`Pair`."""

    def __init__(self, module: fx.GraphModule, *, computed: bool) -> None:
        super().__init__(module)
        self.node = next(iter(module.graph.nodes))
        self.constants = _constants(module, computed=computed)

    def run_node(self, n: fx.Node) -> Any:
        """Write a node; a constant is a buffer, or two of them."""
        self.node = n
        if n not in self.constants:
            return super().run_node(n)
        value = self.constants[n]
        if all(user in self.constants for user in n.users):
            return None  # nothing that is written reads it
        if not value.is_complex():
            return self._buffer(n.name, value)
        return Pair(self._buffer(f"{n.name}_re", value.real), self._buffer(f"{n.name}_im", value.imag))

    def _buffer(self, name: str, value: Tensor) -> Any:
        name = f"{name}_constant"
        self.module.register_buffer(name, value.detach().clone())
        return super().get_attr(name, (), {})

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Write what comes out."""
        return super().output(target, map_aggregate(args, _written), kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Write a function of real numbers as it is, one of complex ones as its rule says."""
        packet, dtype = getattr(target, "overloadpacket", target), kwargs.get("dtype")
        if packet is aten.select and isinstance(args[0], Stacked) and args[1] in (-1, args[0].axis):
            return (_real if args[2] == 0 else _imaginary)(args[0].pair)
        args, kwargs = map_aggregate((args, kwargs), _written)
        if packet.__name__.startswith(FOURIER):
            return self._transformed(target, args, kwargs)
        if packet is aten.view_as_real:
            return Stacked(_pair(args[0]), self.node.meta["val"].dim() - 1)
        wanted = isinstance(dtype, torch.dtype) and dtype.is_complex
        if not wanted and packet not in TURNING and not _pairs_in((args, kwargs)):
            return super().call_function(target, args, kwargs)
        kwargs = {**kwargs, "dtype": dtype.to_real()} if wanted else kwargs
        write = {**dict.fromkeys(MAKING, self._made), **dict.fromkeys(MOVING | WRITING, self._each_part)}
        write[operator.getitem] = self._each_part
        write[aten._to_copy] = self._converted
        if packet in write:
            return write[packet](target, args, kwargs)
        if packet not in RULES or {*kwargs} - {"dtype"}:
            raise NotImplementedError(f"{target} of complex numbers has no rule: take two real ones")
        return RULES[packet](*map(_pair, args))

    def _transformed(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Write a Fourier transform as it is, of a pair and into one."""
        given, *rest = args
        if isinstance(given, Pair):
            given = super().call_function(aten.complex.default, (given.re, _imaginary(given)), {})
        found = super().call_function(target, (given, *rest), kwargs)
        if not self.node.meta["val"].is_complex():
            return found
        both = super().call_function(aten.view_as_real.default, (found,), {})
        return Pair(both.select(-1, 0), both.select(-1, 1))

    def _made(self, target: Any, args: Any, kwargs: Any) -> Pair:
        """Make zeros, or what else a tensor is filled with."""
        size, *rest = args
        fill = [complex(value) for value in rest]
        re = super().call_function(target, (size, *(value.real for value in fill)), kwargs)
        return Pair(re, torch.zeros_like(re) + sum(value.imag for value in fill))

    def _converted(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Give numbers in another dtype; the imaginary part of what becomes real is lost."""
        given = _pair(args[0])
        re = super().call_function(target, (given.re,), kwargs)
        if not self.node.meta["val"].is_complex():
            return re
        return Pair(re, None if given.im is None else super().call_function(target, (given.im,), kwargs))

    def _each_part(self, target: Any, args: Any, kwargs: Any) -> Pair:
        """Move the two parts about, each by itself."""
        if target in (aten.cat.default, aten.stack.default):
            args = ([*map(_pair, args[0])], *args[1:])
        elif getattr(target, "overloadpacket", None) in WRITING:
            args = (*map(_pair, args[:2]), *args[2:])
        real, imaginary = (map_aggregate((args, kwargs), part) for part in (_real, _imaginary))
        moved = super().call_function(target, *real)
        if all(pair.im is None for pair in _pairs_in((args, kwargs))):
            return Pair(moved)
        return Pair(moved, super().call_function(target, *imaginary))


def _constants(module: fx.GraphModule, *, computed: bool) -> dict[fx.Node, Tensor]:
    """Give the complex weights; and what is computed of them alone, if that is asked for."""
    known, found = dict[fx.Node, Any](), dict[fx.Node, Tensor]()
    for node in module.graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "get_attr":
            known[node] = operator.attrgetter(str(node.target))(module)
        elif computed and node.op == "call_function" and all(given in known for given in inputs):
            args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), known.__getitem__)
            known[node] = node.target(*args, **kwargs)
        value = known.get(node)
        if isinstance(value, Tensor) and (value.is_complex() or any(given in found for given in inputs)):
            found[node] = value
    return found


def _pair(value: Any) -> Pair:
    if isinstance(value, complex):
        return Pair(value.real, value.imag)
    return value if isinstance(value, Pair) else Pair(value)


def _written(leaf: Any) -> Any:
    if not isinstance(leaf, Stacked):
        return leaf
    return torch.stack([leaf.pair.re, _imaginary(leaf.pair)], -1)


def _pairs_in(values: Any) -> list[Pair]:
    found = list[Pair]()
    map_aggregate(
        values, lambda leaf: found.append(_pair(leaf)) if isinstance(leaf, Pair | complex) else None
    )
    return found


def _real(leaf: Any) -> Any:
    return _pair(leaf).re


def _imaginary(leaf: Any) -> Any:
    if not isinstance(leaf, Pair | complex):
        return leaf
    pair = _pair(leaf)
    return torch.zeros_like(pair.re) if pair.im is None else pair.im


def _plus(one: Any, other: Any, sign: int = 1) -> Any:
    """Add two parts, or take the second one away; ``None`` counts as zeros."""
    if other is None:
        return one
    if one is None:
        return other if sign > 0 else -other
    return one + other if sign > 0 else one - other


def _sum(sign: int) -> Callable[[Pair, Pair], Pair]:
    """Add two values, or take the second one away."""

    def added(one: Pair, other: Pair) -> Pair:
        re, im = _plus(one.re, other.re, sign), _plus(one.im, other.im, sign)
        alone = im is not None and (one.im is None or other.im is None)
        return Pair(re, torch.zeros_like(re) + im if alone else im)  # of one of them, which may be smaller

    return added


_add, _subtract = _sum(1), _sum(-1)


def _product(multiply: Callable[[Any, Any], Any]) -> Callable[[Pair, Pair], Pair]:
    """``(a + i b) (c + i d) = (a c - b d) + i (a d + b c)``, for any product."""

    def times(one: Any, other: Any) -> Any:
        return None if one is None or other is None else multiply(one, other)

    def product(one: Pair, other: Pair) -> Pair:
        re = _plus(times(one.re, other.re), times(one.im, other.im), -1)
        return Pair(re, _plus(times(one.re, other.im), times(one.im, other.re)))

    return product


_times = _product(operator.mul)


def _reciprocal(one: Pair) -> Pair:
    """``1 / (a + i b) = (a - i b) / (a^2 + b^2)``."""
    if one.im is None:
        return Pair(1 / one.re)
    size = one.re * one.re + one.im * one.im
    return Pair(one.re / size, -one.im / size)


def _divide(one: Pair, other: Pair) -> Pair:
    if other.im is None:
        return Pair(one.re / other.re, None if one.im is None else one.im / other.re)
    return _times(one, _reciprocal(other))


def _exp(one: Pair) -> Pair:
    """``exp(a + i b) = exp(a) (cos b + i sin b)``."""
    if one.im is None:
        return Pair(torch.exp(one.re))
    return Pair(torch.exp(one.re) * torch.cos(one.im), torch.exp(one.re) * torch.sin(one.im))


def _expm1(one: Pair) -> Pair:
    """``exp(a) cos b - 1 = expm1(a) cos b - 2 sin(b / 2)^2``."""
    if one.im is None:
        return Pair(torch.expm1(one.re))
    half = torch.sin(one.im / 2)
    re = torch.expm1(one.re) * torch.cos(one.im) - 2 * half * half
    return Pair(re, torch.exp(one.re) * torch.sin(one.im))


def _power(one: Pair, exponent: Pair) -> Pair:
    if exponent.re not in range(1, HIGHEST + 1):
        raise NotImplementedError(f"the power {exponent.re} of complex numbers has no rule")
    return reduce(_times, [one] * exponent.re)


def _linear(one: Pair, weight: Pair, bias: Pair | None = None) -> Pair:
    product = _product(functional.linear)(one, weight)
    return product if bias is None or bias.re is None else _add(product, bias)


def _einsum(equation: Pair, operands: Pair) -> Pair:
    def multiply(*parts: Any) -> Any:
        return torch.einsum(equation.re, *parts)

    given = [*map(_pair, operands.re)]
    if len(given) != 2:
        raise NotImplementedError(f"einsum of {len(given)} complex tensors has no rule: take two at a time")
    return _product(multiply)(*given)


def _where(condition: Pair, one: Pair, other: Pair) -> Pair:
    chosen = (torch.where(condition.re, part(one), part(other)) for part in (_real, _imaginary))
    return Pair(*chosen)


# What turns real numbers into complex ones or the other way, and the functions of complex numbers.
TURNING: dict[Any, Callable[..., Any]] = {
    aten.complex: lambda re, im: Pair(re.re, im.re),
    aten.view_as_complex: lambda both: Pair(both.re.select(-1, 0), both.re.select(-1, 1)),
}
RULES: dict[Any, Callable[..., Any]] = TURNING | {
    aten.real: lambda one: one.re,
    aten.imag: _imaginary,
    aten._conj: lambda one: Pair(one.re, None if one.im is None else -one.im),
    aten._conj_physical: lambda one: Pair(one.re, None if one.im is None else -one.im),
    aten.abs: lambda one: torch.sqrt(one.re * one.re + _imaginary(one) * _imaginary(one)),
    aten.add: _add,
    aten.sub: _subtract,
    aten.rsub: lambda one, other: _subtract(other, one),
    aten.mul: _times,
    aten.div: _divide,
    aten.einsum: _einsum,
    aten.exp: _exp,
    aten.expm1: _expm1,
    aten.linear: _linear,
    aten.pow: _power,
    aten.where: _where,
    aten.reciprocal: _reciprocal,
    aten.addcmul: lambda one, two, three: _add(one, _times(two, three)),
    aten.addmm: lambda one, two, three: _add(one, _product(torch.mm)(two, three)),
    **{getattr(aten, name): _product(getattr(torch, name)) for name in ("mm", "bmm", "mv", "dot", "matmul")},
}
