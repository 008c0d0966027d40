"""Which parameters of a module are matrices of products, found by watching a call of it.

Every parameter's numbers are numbered, and what only moves them (a view, ``cat``, ``clone``) moves the
numbering along. An operand of a product then shows which parameter it is, and along which axes that is summed
up::

    x @ W.T           W: float[O,I]       summed up along axis 1: O channels
    F.conv1d(x, W)    W: float[O,I,K]     along 1 and 2
    table[ids]        float[V,E]          a channel for each row, along 1

It does not matter what computes the product, or how the parameter is called. Of a parameter that several
products read, as the table and the output layer of a language model with tied weights, the first one counts.
What is computed from parameters in other ways is no matrix of the module.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Axes = tuple[int, ...]
# Operators of PyTorch that multiply: the places of the operands, first what weights usually are, with the
# axes that are summed up. None stands for all but the first.
PRODUCTS: dict[str, tuple[tuple[int, Axes | None], ...]] = {
    "addbmm": ((2, (1,)), (1, (2,))),
    "addmm": ((2, (0,)), (1, (1,))),
    "addmv": ((1, (1,)),),
    "baddbmm": ((2, (1,)), (1, (2,))),
    "bmm": ((1, (1,)), (0, (2,))),
    "convolution": ((1, None),),
    "embedding": ((0, None),),
    "index": ((0, None),),
    "index_select": ((0, None),),
    "linear": ((1, (1,)),),
    "mkldnn_rnn_layer": ((1, (1,)), (2, (1,))),
    "mm": ((1, (0,)), (0, (1,))),
    "mv": ((0, (1,)),),
}
BOTH = {"mkldnn_rnn_layer"}  # whose operands are weights, each of them
TRANSPOSED = 6  # the place of that argument of a convolution
MOVES = {"cat", "clone", "flip", "repeat", "roll", "stack"}  # what gives the same numbers in new places
PAIRS = 1 << 16  # neighbours that are looked at
MOVED = 256  # copies that are followed: a loop makes the same ones at every time step


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the products of a call; ``found`` holds the axes along which each parameter is summed up."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names, self.shapes = list(parameters), [tuple(each.shape) for each in parameters.values()]
        self.found: dict[str, Axes] = {}
        self.numbered: dict[int, Tensor] = {}  # by the address of the numbers; each one's number, or -1
        self.kept: list[Tensor] = []  # so that no address is used twice
        self.seen: set[tuple[Any, ...]] = set()  # operands that were looked at
        self.ends = torch.tensor([each.numel() for each in parameters.values()]).cumsum(0)
        end = 0
        for each in parameters.values():
            self._note(each, torch.arange(end, end + each.numel()).view(each.shape))
            end += each.numel()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Let upstream not import its compiler for this."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and note what it does with parameters."""
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name in PRODUCTS:
            self._look(name, args)
        elif name in MOVES and isinstance(result, Tensor) and len(self.kept) < len(self.names) + MOVED:
            self._move(function, args, kwargs or {}, result)
        return result

    def _look(self, name: str, args: Sequence[Any]) -> None:
        """Note the parameters that a product reads: the first operand that is one, or each of them."""
        for place, summed in PRODUCTS[name]:
            numbers = self._numbers(args[place])
            if numbers is None:
                continue
            kept = 1 if name == "convolution" and args[TRANSPOSED] else 0
            axes = summed or tuple(axis for axis in range(numbers.dim()) if axis != kept)
            key = numbers.data_ptr(), numbers.shape, numbers.stride(), axes
            if key not in self.seen:
                self.seen.add(key)
                self._note_axes(numbers, axes)
            if name not in BOTH:
                return

    def _move(self, function: Any, args: Any, kwargs: Mapping[str, Any], result: Tensor) -> None:
        """Let the numbers of a result have the numbers of what it is made of."""
        operands = args[0] if isinstance(args[0], list | tuple) else [args[0]]
        known = [self._numbers(each) for each in operands]
        if all(each is None for each in known):
            return
        own = [
            torch.full(each.shape, -1) if numbers is None else numbers
            for each, numbers in zip(operands, known, strict=True)
        ]
        moved = own if isinstance(args[0], list | tuple) else own[0]
        self._note(result, function(moved, *args[1:], **kwargs))

    def _note(self, tensor: Tensor, numbers: Tensor) -> None:
        """Remember the numbers of a tensor with an own place in memory, by that."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.numbered:
            flat = torch.full((storage.nbytes() // tensor.element_size(),), -1)
            self.numbered[storage.data_ptr()] = flat
            self.kept.append(tensor)
        flat = self.numbered[storage.data_ptr()]
        flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(numbers)

    def _numbers(self, tensor: Any) -> Tensor | None:
        """Give the numbers of a tensor, if some are a parameter's."""
        flat = self.numbered.get(tensor.untyped_storage().data_ptr()) if isinstance(tensor, Tensor) else None
        if flat is None or not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            return None
        return flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def _note_axes(self, numbers: Tensor, axes: Axes) -> None:
        """Note of each parameter among the numbers in which of its own axes these axes move."""
        owners = torch.bucketize(numbers.contiguous(), self.ends, right=True)
        owners[numbers < 0] = len(self.names)
        present = torch.bincount(owners.flatten(), minlength=len(self.names))[: len(self.names)]
        for owner in present.nonzero().flatten().tolist():
            shape = self.shapes[owner]
            start, moving = int(self.ends[owner]) - torch.Size(shape).numel(), set[int]()
            for axis in axes:
                both = (owners == owner) & (owners.roll(-1, axis) == owner)
                pairs = torch.stack([numbers[both], numbers.roll(-1, axis)[both]]) - start
                some = pairs[:, :: max(1, pairs.shape[1] // PAIRS) | 1]
                places = torch.unravel_index(some, shape)
                moving |= {own for own, (one, other) in enumerate(places) if (one != other).any()}
            if moving:
                self.found.setdefault(self.names[owner], tuple(sorted(moving)))


def matrices(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Axes]:
    """Name the parameters that a call multiplies, or looks up, with the axes along which it sums them up.

    Those of one axis are none. What the call raises is raised.
    """
    parameters = {
        name: each for name, each in model.named_parameters() if each.dim() > 1 and each.is_floating_point()
    }
    if not parameters:
        return {}
    watch = _Watch(parameters)
    with torch.no_grad(), torch.random.fork_rng(devices=[]), watch:
        model(*args, **kwargs)
    return watch.found
