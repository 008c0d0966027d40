"""A module that takes the number of time steps of each row, run as if all rows had all of them.

``pack_padded_sequence`` of full rows moves nothing away: its data are all time steps, one after the other.
So what is between it and ``pad_packed_sequence`` is run without packing, on shapes alone::

    pack (x [T, B, F], lengths = T)    =>  x as [T B, F]
    layer (packed)                     =>  layer (x)                 the layers of torch.nn
    pad (data [T B, H])                =>  data as [T, B, H]
    x[order], where lengths were sorted  =>  x                       rows that are alike stay in their order
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from rnn_export.module.output_length import Along, size_along
from rnn_export.module.wrappers import Wrapper

EVERYTHING = slice(None)
PACK = "_pack_padded_sequence"
COMPUTED_COUNTS = (
    "forward computes how many time steps each row has, for pack_padded_sequence: what comes later says "
    "whether a time step counts. A net that runs forward alone streams if forward takes these numbers"
)
LAYERS = nn.modules.rnn.__name__  # where torch.nn has its recurrent layers, which take packed sequences


class FullRows(Wrapper):
    """A module without the inputs that count time steps: ``(*inputs, *state)``, each row with all of them.

    ``counting`` says which of the module's inputs count, ``time`` and ``batch`` are the axes of the others.
    """

    def __init__(self, model: nn.Module, counting: Sequence[bool], time: Along, batch: Sequence[int]) -> None:
        super().__init__(model)
        self.counting, self.time, self.batch = tuple(counting), time, tuple(batch)

    def forward(self, *given: Any) -> Any:
        """Run the module on rows that have all time steps."""
        inputs, state = given[: len(self.time)], given[len(self.time) :]
        counts = torch.full((size_along(inputs, self.batch),), size_along(inputs, self.time))
        left = iter(inputs)
        taken = [counts if counting else next(left) for counting in self.counting]
        with _AllSteps(counts) as mode, mode.layers(self.original):
            return self.original(*taken, *state)


class _AllSteps(TorchFunctionMode):
    """Packs and pads rows that all have all time steps, without looking at a number.

    ``counts`` are tensors in which each row has all time steps, ``orders`` the numbers of the rows in their
    order, ``sizes`` those that say of a packed sequence how many rows each of its time steps has.
    """

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.counts, self.orders, self.sizes = [counts], list[Tensor](), list[Tensor]()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run a function of PyTorch."""
        named = kwargs or {}
        rule = RULES.get(getattr(func, "__name__", ""))
        result = None if rule is None else rule(self, args, named)
        return func(*args, **named) if result is None else result

    @contextmanager
    def layers(self, model: nn.Module) -> Iterator[None]:
        """Let the recurrent layers of torch.nn run over what is packed here as over any sequence."""
        handles = list[Any]()
        for layer in model.modules():
            if any(base.__module__ == LAYERS for base in type(layer).__mro__):
                packed = list[PackedSequence]()
                handles.append(layer.register_forward_pre_hook(self._before(packed)))
                handles.append(layer.register_forward_hook(self._after(packed)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, packed: list[PackedSequence]) -> Callable[..., Any]:
        def unpack(layer: Any, arguments: tuple[Any, ...]) -> Any:
            given = arguments[0] if arguments else None
            if not isinstance(given, PackedSequence) or not _among(given.batch_sizes, self.sizes):
                return None
            packed.append(given)
            x = _steps(given.data, given.batch_sizes)
            return (x.transpose(0, 1) if layer.batch_first else x, *arguments[1:])

        return unpack

    def _after(self, packed: list[PackedSequence]) -> Callable[..., Any]:
        def pack(layer: Any, arguments: Any, result: Any) -> Any:
            if not packed:
                return None
            y, new = result
            data = (y.transpose(0, 1) if layer.batch_first else y).flatten(0, 1)
            return PackedSequence(data, *packed.pop()[1:]), new

        return pack


class _Packing(TorchFunctionMode):
    """Notes how many time steps, and of how many rows, are packed."""

    def __init__(self) -> None:
        super().__init__()
        self.packed = set[tuple[int, int]]()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run a function of PyTorch."""
        if getattr(func, "__name__", "") == PACK:
            padded, _, batch_first = args
            rows, steps = padded.shape[:2] if batch_first else padded.shape[1::-1]
            self.packed.add((steps, rows))
        return func(*args, **(kwargs or {}))


def packs(run: Callable[[], Any], steps: int, rows: int) -> bool:
    """Whether so many time steps of so many rows are packed."""
    with _Packing() as packing:
        run()
    return (steps, rows) in packing.packed


def _among(given: Any, known: Sequence[Tensor]) -> bool:
    return any(given is one for one in known)


def _steps(data: Tensor, sizes: Tensor) -> Tensor:
    """Give packed data ``[T B, F]`` of full rows as ``[T, B, F]``."""
    return data.reshape(sizes.shape[0], -1, *data.shape[1:])


def _pack(mode: _AllSteps, args: Sequence[Any], _: Mapping[str, Any]) -> Any:
    padded, lengths, batch_first = args
    if not _among(lengths, mode.counts):
        return None
    x = padded.transpose(0, 1) if batch_first else padded
    mode.sizes.append(torch.full((x.shape[0],), x.shape[1]))
    return x.flatten(0, 1), mode.sizes[-1]


def _pad(mode: _AllSteps, args: Sequence[Any], _: Mapping[str, Any]) -> Any:
    data, sizes, batch_first, _, steps = args
    if not _among(sizes, mode.sizes) or steps != sizes.shape[0]:
        return None
    x = _steps(data, sizes)
    return x.transpose(0, 1) if batch_first else x, mode.counts[0]


def _moved(mode: _AllSteps, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Lengths on another device, or of another dtype of whole numbers, are lengths."""
    dtypes = [each for each in (*args[1:], *named.values()) if isinstance(each, torch.dtype)]
    moved = _among(args[0], [*mode.counts, *mode.orders])
    return args[0] if moved and not any(dtype.is_floating_point for dtype in dtypes) else None


def _sorted(mode: _AllSteps, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    order = _ordered(mode, args, named)
    return None if order is None else torch.return_types.sort((args[0], order))


def _ordered(mode: _AllSteps, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Sorted, rows that are alike stay where they are, and so do rows in their order."""
    falling = named.get("descending", any(one is True for one in args[1:]))
    if not _among(args[0], mode.counts) and (falling or not _among(args[0], mode.orders)):
        return None
    mode.orders.append(torch.arange(args[0].shape[0]))
    return mode.orders[-1]


def _undone(mode: _AllSteps, args: Sequence[Any], _: Mapping[str, Any]) -> Any:
    """``undo.scatter_(0, order, arange)`` is that order as well."""
    if len(args) == 4 and _among(args[2], mode.orders):
        mode.orders.append(args[0])
    return None


def _picked(mode: _AllSteps, args: Sequence[Any], _: Mapping[str, Any]) -> Any:
    """``x[:, order]`` is ``x``."""
    places = args[1] if isinstance(args[1], tuple) else (args[1],)
    others = [place for place in places if not _among(place, mode.orders)]
    everything = all(isinstance(place, slice) and place == EVERYTHING for place in others)
    return args[0] if len(others) < len(places) and everything else None


def _selected(mode: _AllSteps, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    order = named.get("index", args[-1])
    return args[0] if _among(order, mode.orders) else None


Rule = Callable[[_AllSteps, Sequence[Any], Mapping[str, Any]], Any]
RULES: dict[str, Rule] = {
    PACK: _pack,
    "_pad_packed_sequence": _pad,
    "to": _moved,
    "cpu": _moved,
    "long": _moved,
    "int": _moved,
    "detach": _moved,
    "sort": _sorted,
    "argsort": _ordered,
    "scatter_": _undone,
    "__getitem__": _picked,
    "index_select": _selected,
}
