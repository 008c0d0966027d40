"""A model that contains recurrences: each is what it is by itself, all else is traced with free sizes.

::

    conv -> encoder -> linear     =>     Conv, Recurrence <number = 0>, MatMul, Add     T and B free
                                  =>     Conv, Transpose, Scan, MatMul, Add

For models of which neither TorchScript nor a trace as a whole can be exported. What is made of it has to give
what the model gives, at three sizes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes import common
from torch import Tensor, nn

from rnn_export.capture.around.by_itself import Capture, Sized, by_itself
from rnn_export.capture.around.calls import Call, calls_of, recurrent
from rnn_export.capture.around.free import sizes_left_free
from rnn_export.capture.around.opaque import DOMAIN, NUMBER, Joined, Opaque, Piece, Run, as_node
from rnn_export.capture.around.put_in import name_all, put_in
from rnn_export.capture.onnx_file import reader
from rnn_export.capture.step import exported
from rnn_export.errors import CaptureError, OnnxFileError, ScriptError, class_name
from rnn_export.module import eager
from rnn_export.module.copying import copied
from rnn_export.module.sampling import Draw
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import original_of
from rnn_export.program.agree import same
from rnn_export.program.program import Program

MANY = 23  # time steps beyond the fewest: behind strides and poolings there are still several
MORE = (0, 0), (16, 0), (0, 2)  # time steps and rows that are more in each of the calls
ROWS = 3
Known = Mapping[str, list[tuple[Call, Joined]]]


@dataclass(frozen=True)
class Around:
    """A model, and the pieces that its recurrences are, by the paths of the submodules.

    ``given`` are the arguments of calls of several sizes.
    """

    subject: Subject
    known: Known
    given: Sequence[Sequence[Tensor]]

    @property
    def pieces(self) -> list[Piece]:
        """The pieces in their order."""
        return [piece for _, piece in self._placed]

    @property
    def _placed(self) -> list[tuple[str, Piece]]:
        """The pieces, each with the path of its submodule."""
        return [
            (path, piece)
            for path, each in self.known.items()
            for _, joined in each
            for piece in joined.pieces
        ]

    def _weight_names(self, number: int) -> Callable[[str], str]:
        """Give the names of the weights of a piece in the model, by those that it has itself."""
        path, original = self._placed[number][0], self.subject.original
        wrapped = next(name for name, module in self.subject.flat().named_modules() if module is original)
        known = {name for name, _ in (*original.named_parameters(), *original.named_buffers())}

        def name(own: str) -> str:
            parts = own.split(".")
            ends = (
                ".".join([*filter(None, [front]), *parts[start:]])
                for front in (path, "")  # a weight may be known where the submodule did not have it first
                for start in range(len(parts))
            )
            found = next((end for end in ends if end in known), None)
            return f"piece_{number}/{own}" if found is None else f"{wrapped}.{found}"

        return name

    def program(self) -> Program:
        """Trace the model, and put the pieces in.

        Raises:
            CaptureError: the exporter cannot trace what is around them, or has to fix a size of it; or the
                result is not what the model gives.
        """
        signature, name = self.subject.signature, class_name(self.subject.original)
        nodes = {piece: as_node(number, piece) for number, piece in enumerate(self.pieces)}
        free = [dict.fromkeys(spec.free_axes, torch.export.Dim.AUTO) for spec in signature.arguments]
        with sizes_left_free():
            flat = self.subject.flat(self.with_pieces(nodes.__getitem__)).eval()
            what = f"what is around the recurrences of {name}"
            model = exported(flat, self.given[0], signature.arguments, free, what)
        common.InlinePass()(model)
        name_all(model, signature)
        for node in [node for node in model.graph if node.domain == DOMAIN]:
            number = node.attributes[NUMBER].as_int()
            put_in(model, node, self.pieces[number], self._weight_names(number))
        model.opset_imports.pop(DOMAIN, None)
        common.RemoveUnusedNodesPass()(model)
        try:
            program = reader.read(ir.to_proto(model), signature).program
        except OnnxFileError as error:
            raise CaptureError(f"what is around the recurrences of {name}: {error}") from error
        self._check(program)
        return program

    def scripted(self) -> nn.Module:
        """Give a copy of the model whose recurrences are loops of TorchScript.

        Raises:
            ScriptError: one of them is none.
        """
        loops = {piece: piece.scripted for piece in self.pieces if piece.scripted is not None}
        if len(loops) < len(self.pieces):
            raise ScriptError("a loop in it cannot be one of TorchScript")
        return self.with_pieces(loops.__getitem__)

    def with_pieces(self, run: Callable[[Piece], Run]) -> nn.Module:
        """Give a copy of the model with its recurrences run in another way."""
        own = nn.Module()
        own.add_module("model", copied(self.subject.model))
        original = original_of(own.get_submodule("model"))
        ways = {original.get_submodule(path): known for path, known in self.known.items()}
        for holder in [*own.modules()]:
            for name, module in [*holder._modules.items()]:  # one may have several names
                if module is not None and module in ways:
                    setattr(holder, name, Opaque(module, ways[module], run).eval())
        return own.get_submodule("model")

    def _check(self, program: Program) -> None:
        """Compare a Program with the model."""
        flat, signature = self.subject.flat(copied(self.subject.model)).eval(), self.subject.signature
        taken = {value.name for value in program.model.graph.inputs}
        for given in self.given:
            feeds = {name: each.numpy() for name, each in zip(signature.input_names, given, strict=True)}
            got = program.run({name: array for name, array in feeds.items() if name in taken})
            with torch.no_grad():
                results = flat(*(each.clone() for each in given))
            for name, want in zip(signature.output_names, results, strict=True):
                if not same(want.numpy(), got[name]):
                    sizes = signature.sizes(given[: len(signature.inputs)])
                    raise CaptureError(
                        f"a trace around the recurrences of {class_name(self.subject.original)} gives other "
                        f"{name} for {sizes}"
                    )


def around(subject: Subject, capture: Capture) -> Around:
    """Find the recurrences in a model, and what each is by itself.

    Args:
        subject: a model for whole sequences.
        capture: makes a Program, and TorchScript if it can, of a submodule that was looked at.

    Raises:
        CaptureError: one of them is no loop over time steps.
    """
    own = subject.flat(copied(subject.model)).eval()
    original, given = original_of(own.model), _given(subject)
    calls = [calls_of(original, partial(own, *map(torch.clone, each))) for each in given]
    paths = recurrent(*calls[:2])
    known = dict[str, list[tuple[Call, Joined]]]()
    for path in paths:
        groups = _groups([[call for call in each if call.path == path] for each in calls])
        module = original.get_submodule(path)
        known[path] = [(group[0][0], by_itself(module, group, capture)) for group in groups]
    return Around(subject, known, given)


def _given(subject: Subject) -> list[list[Tensor]]:
    """Draw the arguments of some calls."""
    signature = subject.signature
    draw = Draw(subject, eager.start(subject, torch.float64))
    found = list[list[Tensor]]()
    for steps, rows in MORE:
        batch = ROWS + rows
        drawn = [*draw.inputs(signature.least + MANY + steps, batch), *signature.initial_state(batch)]
        found.append(
            [
                torch.from_numpy(np.array(each)).to(getattr(torch, spec.dtype))
                for each, spec in zip(drawn, signature.arguments, strict=True)
            ]
        )
    return found


def _groups(calls: Sequence[Sequence[Call]]) -> list[list[Sized]]:
    """Put together the calls of a submodule that are alike; each with those of other sizes."""
    groups = list[list[Sized]]()
    for sized in zip(*calls, strict=True):
        if not all(call.is_like(sized[0]) for call in sized):
            raise CaptureError(
                f"{sized[0].path or 'it'} takes or gives other than tensors of other sizes, such as lists of "
                "other lengths, for more time steps or rows. Give it tensors, and stack what it returns."
            )
        group = next((group for group in groups if group[0][0].is_like(sized[0])), None)
        if group is None:
            groups.append([sized])
        else:
            group.append(sized)
    return groups
