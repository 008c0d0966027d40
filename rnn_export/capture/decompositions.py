"""Functions that exporters write as formulas which lose all digits, written as formulas that do not.

PyTorch computes ``log1p(1e-9)`` right; ``Log(Add(1, x))``, which is what an exporter makes of it, gives zero.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
LARGEST = 30.0  # from which on erfc is zero in float32
PIECES = 64.0  # of 1: a number up to 30 in so many has a square that is exact
# log(erfc(z) e^(z^2) / t), t = 1 / (1 + z / 2), from t^0 on; within 1.2e-7 (Press et al., Numerical Recipes).
ERFC = (
    *(-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806),
    *(0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277),
)


def log1p(x: Tensor) -> Tensor:
    """``log(u) + (x - (u - 1)) / u``, ``u = 1 + x``: the last term is what ``u`` lost of a small ``x``."""
    u = 1 + x
    return torch.log(u) + torch.where(x.abs() < 0.5, (x - (u - 1)) / u, 0.0)


def expm1(x: Tensor) -> Tensor:
    """``2 t / (1 - t)``, ``t = tanh(x / 2)``, where ``exp(x) - 1`` would lose digits."""
    t = torch.tanh(x * 0.5)
    return torch.where(x.abs() < 1, 2 * t / (1 - t), torch.exp(x) - 1)


def atan2(y: Tensor, x: Tensor) -> Tensor:
    """``atan(y / |x|)``, seen from the other side where ``x`` is negative; NaN where one of them is."""
    endless = (x.abs() == math.inf) & (y.abs() == math.inf)
    ratio = torch.where((x == 0) & (y == 0), 0.0, torch.where(endless, sign(y), y / x.abs()))
    angle = torch.atan(ratio)
    return torch.where(x < 0, torch.where(y < 0, -math.pi - angle, math.pi - angle), angle)


def erfc(x: Tensor) -> Any:
    """``t exp(-z^2 + P(t))``, ``z = |x|``, and ``1 - erf(x)`` below 1/2; ``z^2`` with all of its digits."""
    if x.dtype != torch.float32:
        return NotImplemented
    size = x.abs()
    z = torch.where(size > LARGEST, LARGEST, size)
    t = 1 / (1 + 0.5 * z)
    series = torch.full_like(t, ERFC[-1])
    for factor in ERFC[-2::-1]:
        series = series * t + factor
    high = torch.floor(z * PIECES) / PIECES
    far = t * torch.exp(-high * high) * torch.exp(series - (z - high) * (z + high))
    return torch.where(x < 0.5, torch.where(x > -0.5, 1 - torch.erf(x), 2 - far), far)


def logaddexp(a: Tensor, b: Tensor) -> Tensor:
    """``m + log1p(exp(-|a - b|))``, ``m`` being the larger one."""
    distance = torch.where(a == b, 0.0, (a - b).abs())  # and not infinity minus infinity
    return torch.where(a > b, a, b) + log1p(torch.exp(-distance))


def logaddexp2(a: Tensor, b: Tensor) -> Tensor:
    """The same with the base 2."""
    distance = torch.where(a == b, 0.0, (a - b).abs())
    return torch.where(a > b, a, b) + log1p(torch.exp2(-distance)) / math.log(2)


def log_sigmoid(x: Tensor) -> Tensor:
    """``min(x, 0) - log1p(exp(-|x|))``."""
    return torch.where(x > 0, 0.0, x) - log1p(torch.exp(-x.abs()))


def logit(x: Tensor, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))``, ``x`` moved into ``[eps, 1 - eps]`` unless it is NaN."""
    if eps is not None:
        x = torch.where(x < eps, eps, torch.where(x > 1 - eps, 1 - eps, x))
    return torch.log(x / (1 - x))


def heaviside(x: Tensor, values: Tensor) -> Tensor:
    """``0``, ``values`` or ``1``; 0 for NaN."""
    return torch.where(x == 0, values, (x > 0).to(x.dtype))


def sign(x: Tensor) -> Any:
    """``-1``, ``0`` or ``1``; 0 for NaN."""
    if not x.dtype.is_floating_point:
        return NotImplemented
    return torch.where(x > 0, 1.0, torch.where(x < 0, -1.0, 0.0)).to(x.dtype)


def _alike(x: Tensor | float, y: Tensor | float) -> list[Tensor]:
    """Give two numbers as tensors of the dtype that arithmetic with both has."""
    dtype = torch.result_type(x, y)
    return [torch.full((), n, dtype=dtype) if not isinstance(n, Tensor) else n.to(dtype) for n in (x, y)]


def _unlike(rest: Tensor, y: Tensor) -> Tensor:
    """Whether a rest of a division by ``y`` has the other sign: then it belongs to the next whole number."""
    return (rest != 0) & ((rest < 0) != (y < 0))


def remainder(x: Tensor | float, y: Tensor | float) -> Any:
    """``x - n y``, ``n`` being ``x / y`` rounded down: exact, as ``fmod`` is, where the sign is right."""
    x, y = _alike(x, y)
    if not x.dtype.is_floating_point:
        return NotImplemented
    rest = torch.fmod(x, y)
    return torch.where(_unlike(rest, y), rest + y, rest)


def floor_divide(x: Tensor | float, y: Tensor | float, rounding_mode: str | None = "floor") -> Any:
    """``x / y`` rounded down, and not what rounds up to a whole number: ``1 // 0.1`` is 9."""
    x, y = _alike(x, y)
    if not x.dtype.is_floating_point or rounding_mode != "floor":
        return NotImplemented
    rest = torch.fmod(x, y)
    whole = (x - rest) / y
    whole = torch.where(_unlike(rest, y), whole - 1, whole)
    low = torch.floor(whole)
    near = torch.where(whole - low > 0.5, low + 1, low)
    return torch.where(y == 0, x / y, torch.where(whole == 0, 0.0, near))


def xlog1py(x: Tensor | float, y: Tensor | float) -> Any:
    """``x log(1 + y)``; 0 where ``x`` is, unless ``y`` is NaN."""
    x, y = _alike(x, y)
    if not x.dtype.is_floating_point:
        return NotImplemented
    return torch.where((x == 0) & ~torch.isnan(y), 0.0, x * log1p(y))


def clamp(x: Tensor, low: float | None = None, high: float | None = None) -> Any:
    """The larger or the smaller of two; an exporter's ``Clip`` of one bound ends at the largest number."""
    bound = high if low is None else low
    if not x.dtype.is_floating_point or bound is None or (low is not None and high is not None):
        return NotImplemented
    choose = torch.minimum if low is None else torch.maximum
    return choose(x, torch.full((), bound, dtype=x.dtype))


def clamp_max(x: Tensor, high: float) -> Any:
    """The smaller of two."""
    return clamp(x, high=high)


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten.atan2.default: atan2,
    aten.clamp.default: clamp,
    aten.clamp_max.default: clamp_max,
    aten.clamp_min.default: clamp,
    aten.div.Scalar_mode: floor_divide,
    aten.div.Tensor_mode: floor_divide,
    aten.erfc.default: erfc,
    aten.expm1.default: expm1,
    aten.floor_divide.Scalar: floor_divide,
    aten.floor_divide.default: floor_divide,
    aten.heaviside.default: heaviside,
    aten.log1p.default: log1p,
    aten.log_sigmoid.default: log_sigmoid,
    aten.logaddexp.default: logaddexp,
    aten.logaddexp2.default: logaddexp2,
    aten.logit.default: logit,
    aten.remainder.Scalar: remainder,
    aten.remainder.Scalar_Tensor: remainder,
    aten.remainder.Tensor: remainder,
    aten.sgn.default: sign,
    aten.sign.default: sign,
    aten.special_erfc.default: erfc,
    aten.special_expm1.default: expm1,
    aten.special_log1p.default: log1p,
    aten.special_logit.default: logit,
    aten.special_xlog1py.default: xlog1py,
    aten.special_xlog1py.other_scalar: xlog1py,
    aten.special_xlog1py.self_scalar: xlog1py,
}


def name_of(target: object) -> str:
    """Name an operator, whether it changes what it takes in place or not: ``aten.log1p.default``."""
    return str(target).replace("_.", ".")


def graphs(step: torch.export.ExportedProgram) -> Iterator[torch.fx.Graph]:
    """Give the graph of a step, and those of its branches."""
    modules = step.graph_module.modules()
    return (module.graph for module in modules if isinstance(module, torch.fx.GraphModule))


def without_unbind(step: torch.export.ExportedProgram) -> None:
    """Let a step select what it takes by ``unbind``: where one changes in place, upstream fixes the batch."""
    for graph in graphs(step):
        for node in [node for node in graph.nodes if node.target is aten.unbind.int]:
            value, axis = (*node.args, 0)[:2]
            for taken in [*node.users]:
                with graph.inserting_before(taken):
                    entry = graph.call_function(aten.select.int, (value, axis, taken.args[1]))
                entry.meta.update(taken.meta)
                taken.replace_all_uses_with(entry)
                graph.erase_node(taken)
            graph.erase_node(node)
    step.graph_module.recompile()


BAGS = {  # what is done with the rows of a bag, by mode
    0: lambda rows: (aten.sum.dim_IntList, (rows, [1])),
    1: lambda rows: (aten.mean.dim, (rows, [1])),
    2: lambda rows: (aten.amax.default, (rows, [1])),
}


def without_cancellation(step: torch.export.ExportedProgram) -> None:
    """Let ``exp(x) - 1`` be ``expm1(x)``: two right exponentials of a small ``x`` share few digits, less 1.

    ``(exp(a dt) - 1) / a`` is how a state space model in continuous time takes steps of ``dt``.
    """
    for graph in graphs(step):
        for node in [*graph.nodes]:
            if node.target not in LESS_ONE or node.kwargs or not isinstance(node.args[0], torch.fx.Node):
                continue
            power, number = node.args
            same = power.meta["val"].shape == node.meta["val"].shape
            if same and power.target is aten.exp.default and _filled_with(number) == LESS_ONE[node.target]:
                with graph.inserting_before(node):
                    near = graph.call_function(aten.expm1.default, power.args)
                near.meta.update(node.meta)
                node.replace_all_uses_with(near)
                graph.erase_node(node)
    step.graph_module.recompile()


LESS_ONE = {aten.sub.Tensor: 1, aten.add.Tensor: -1}


def _filled_with(value: Any) -> Any:
    """Give the number that a value is everywhere, if its graph says so."""
    if not isinstance(value, torch.fx.Node):
        return value
    if value.target in (aten.ones.default, aten.ones_like.default):
        return 1
    return value.args[1] if value.target in (aten.full.default, aten.full_like.default) else None


def without_bags(step: torch.export.ExportedProgram) -> None:
    """Let bags ``[B, N]`` of N ids each be an embedding and a sum: the exporter writes a loop over bags."""
    for graph in graphs(step):
        for node in [node for node in graph.nodes if node.target is aten.embedding_bag.padding_idx]:
            weight, flat, offsets, _, mode, _, factors, last, padding = node.args
            used = [user for user in node.users if user.users]
            even = (
                flat.target is aten.reshape.default
                and offsets.target is aten.arange.start_step
                and len(flat.args[0].meta["val"].shape) == 2
                and offsets.args[::2] == (0, flat.args[0].meta["val"].shape[1])
            )
            plain = factors is None and not last and padding in (None, -1)
            if not (even and plain and [user.args[1] for user in used] == [0]):
                continue
            ids = flat.args[0]
            with graph.inserting_before(node):
                rows = graph.call_function(aten.embedding.default, (weight, ids))
                bag = graph.call_function(*BAGS[mode](rows))
            rows.meta.update(node.meta, val=aten.embedding.default(weight.meta["val"], ids.meta["val"]))
            bag.meta.update(used[0].meta)
            used[0].replace_all_uses_with(bag)
        remove_unread(graph)
    step.graph_module.recompile()


def remove_unread(graph: torch.fx.Graph) -> None:
    """Take out what nobody reads; where ``torch.vmap`` begins and ends, which nobody does either, stays."""
    graph.eliminate_dead_code(lambda node: node.is_impure() or _begins_or_ends_rows(node))


def _begins_or_ends_rows(node: torch.fx.Node) -> bool:
    return getattr(node.target, "__module__", "") == "torch._functorch.predispatch"


def decomposed(
    step: torch.export.ExportedProgram, others: dict[Any, Callable[..., Any]]
) -> torch.export.ExportedProgram:
    """Write what loses digits, and some other operators, as others; a step without any stays as it is."""
    table = {**DECOMPOSITIONS, **others}
    called = {name_of(node.target) for graph in graphs(step) for node in graph.nodes}
    if called.isdisjoint(map(name_of, table)):
        return step
    found: torch.export.ExportedProgram = step.run_decompositions(table)
    return found
