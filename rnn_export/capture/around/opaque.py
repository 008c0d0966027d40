"""A module in the place of a recurrent submodule: called alike, while what computes its results is one node.

::

    y, (h, c) = encoder(x, scale=2)     =>     h_0, c_0 = zeros [B, H]
                                               y, h, c = Recurrence <number = 0> (x, h_0, c_0)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnn_export.capture.around.calls import Call, InPlace, alike
from rnn_export.errors import CaptureError, class_name
from rnn_export.module.arguments import is_tensor, tensors_of
from rnn_export.program.program import Program
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME, read_length
from rnn_export.signature.tensors import TensorSpec
from rnn_export.signature.tree import map_leaves, tree_leaves

DOMAIN, KIND, NUMBER = "rnn_export.around", "Recurrence", "number"
Run = Callable[..., Any]  # (*inputs, *state) -> (*outputs, *new_state), or the tensor if it is one
Axes = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Piece:
    """A recurrence by itself, and how a call of a submodule is one of it.

    Attributes:
        program: what computes it; its signature's inputs are the tensors of a call, in their order, and what
            the call does not give of its state begins as the signature says.
        scripted: the same as TorchScript, ``(*inputs, *state) -> (*outputs, *new_state)``, if there is that.
        turned: of each tensor that goes in, and of each that comes out, the time axis if it runs backward.
        picked: which of its results is each tensor that comes out.
    """

    program: Program
    scripted: torch.jit.ScriptModule | None
    turned: tuple[Axes, Axes]
    picked: tuple[int, ...]

    @property
    def signature(self) -> Signature:
        """What a call of it looks like."""
        assert self.program.signature is not None
        return self.program.signature

    def all_results(self, given: Sequence[Tensor], run: Run) -> list[Tensor]:
        """Give all that the Program gives for the tensors of a call."""
        given = [turned(each, axis) for each, axis in zip(given, self.turned[0], strict=True)]
        names = dict(zip(self.signature.file_inputs, given, strict=False))
        specs = [spec for spec in self.signature.inputs if spec.name in names]
        batch = names[specs[0].name].shape[specs[0].batch_axis]
        begun = {spec.name: _begun(spec, batch) for spec in self.signature.state if spec.name not in names}
        results = run(*((names | begun)[name] for name in self.signature.input_names))
        return [results] if isinstance(results, Tensor) else [*results]

    def results(self, given: Sequence[Tensor], run: Run) -> list[Tensor]:
        """Give what comes out for the tensors of a call."""
        results = self.all_results(given, run)
        chosen = [results[number] for number in self.picked]
        return [turned(each, axis) for each, axis in zip(chosen, self.turned[1], strict=True)]


def turned(tensor: Tensor, axis: int | None) -> Tensor:
    """Turn a tensor around along an axis, if it has one."""
    return tensor if axis is None else tensor.flip(axis)


def _begun(spec: Any, batch: Any) -> Tensor:
    """Give what a leaf of a state begins with, for a number of rows that may be free."""
    one = np.array(spec.initial_value(1))
    shape = [batch if size == BATCH else size for size in spec.shape]
    if not one.any():
        return torch.zeros(shape, dtype=getattr(torch, spec.dtype))
    return torch.from_numpy(one).expand(shape)


@dataclass(frozen=True)
class Joined:
    """The pieces of a submodule, and the axis along which each of their results is joined."""

    pieces: tuple[Piece, ...]
    axes: Axes

    def results(self, given: Sequence[Tensor], run: Callable[[Piece], Run]) -> list[Tensor]:
        """Give what comes out for the tensors of a call."""
        found = [piece.results(given, run(piece)) for piece in self.pieces]
        return [
            parts[0] if axis is None else torch.cat(parts, axis)
            for axis, parts in zip(self.axes, zip(*found, strict=True), strict=True)
        ]


class Opaque(InPlace):
    """Is called as a submodule is; its results are those of pieces.

    Args:
        original: the submodule, whose attributes can be read here as well.
        known: a call for each way in which it is called, with the pieces that give its results.
        run: says what runs a piece.
    """

    def __init__(
        self, original: nn.Module, known: Sequence[tuple[Call, Joined]], run: Callable[[Piece], Run]
    ) -> None:
        super().__init__(original)
        self._ways = (tuple(known), run)
        for _, joined in known:
            for piece in joined.pieces:
                runner = run(piece)
                if isinstance(runner, nn.Module):
                    self.add_module(f"piece_{len(self._modules)}", runner)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Give the results, nested as those of the submodule.

        Raises:
            CaptureError: it is not called in one of the ways that are known.
        """
        known, run = self._ways
        called = tree_leaves((args, kwargs))
        for call, joined in known:
            own = tree_leaves((call.arguments.args, dict(call.arguments.kwargs)))
            if len(own) == len(called) and all(map(alike, own, called)):
                return _nested_as(call.result, joined.results(tensors_of((args, kwargs)), run))
        raise CaptureError(f"{class_name(self.original)} is called in another way than before.")


def _nested_as(value: Any, tensors: Sequence[Tensor]) -> Any:
    """Nest tensors as those of a value are."""
    rest = iter(tensors)
    return map_leaves(value, lambda leaf: next(rest) if is_tensor(leaf) else leaf)


def as_node(number: int, piece: Piece) -> Run:
    """Run a piece as a node that only says what comes out, with free sizes as they are."""
    specs, arguments = piece.signature.results, piece.signature.arguments

    def run(*given: Tensor) -> Sequence[Tensor]:
        sizes = dict[str, Any]()
        for spec, tensor in zip(arguments, given, strict=True):
            sizes.update({str(size): tensor.shape[axis] for axis, size in _free(spec) if size not in sizes})
        made: Sequence[Tensor] = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::{KIND}",
            given,
            {NUMBER: number},
            dtypes=[getattr(torch, spec.dtype) for spec in specs],
            shapes=[[_size(size, sizes) for size in spec.shape] for spec in specs],
            version=1,
        )
        return made

    return run


def _free(spec: TensorSpec) -> list[tuple[int, str]]:
    return [(axis, str(spec.shape[axis])) for axis in spec.free_axes]


def _size(size: int | str, sizes: dict[str, Any]) -> Any:
    if isinstance(size, int) or size in sizes:
        return sizes.get(str(size), size)
    length = read_length(size)
    assert length is not None  # it is one of the names, or made of time
    return length.each * ((length.times * sizes[TIME] + length.more) // length.by) + length.plus


def by_program(piece: Piece) -> Run:
    """Run a piece in ONNX Runtime."""
    signature = piece.signature

    def run(*given: Tensor) -> Sequence[Tensor]:
        feeds = {
            spec.name: np.ascontiguousarray(each.numpy())
            for spec, each in zip(signature.arguments, given, strict=True)
        }
        known = {value.name for value in piece.program.model.graph.inputs}
        results = piece.program.run({name: array for name, array in feeds.items() if name in known})
        return [torch.from_numpy(np.array(results[name])) for name in signature.output_names]

    return run
