"""What the templates of a host are told of the user's models."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from rnn_export.bundle.bundle import Bundle
from rnn_export.scaffolding.hosts import workspace_of
from rnn_export.signature.signature import Signature, identifier
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tensors import TensorSpec


@dataclass(frozen=True)
class Tensor:
    """What a template is told of an input or an output.

    Attributes:
        name: in the manifest.
        dtype: of it.
        size: numbers for each row, and for each time step if it has any.
        every_step: it is one of every time step; else the same for a call, or that of the last one.
        macro: between the model's name and ``_SIZE`` in ``model.h``.
        vocabulary_size: token ids are 0 to one less; ``None`` if that is not known, or if they are no ids.
    """

    name: str
    dtype: str
    size: int
    every_step: bool
    macro: str
    vocabulary_size: int | None = None

    @property
    def vocabulary_macro(self) -> str:
        """Give what stands in ``model.h`` before ``_SIZE`` for the number of token ids."""
        return f"{self.macro}_VOCABULARY".removeprefix("INPUT_")


@dataclass(frozen=True)
class Model:
    """What a template is told of a bundle.

    Attributes:
        name: of its folder in ``models/``, and of what its C defines: ``NAME_run``.
        signature: what a call looks like.
        inputs: what goes in beside the state, in the manifest's order, which is that of C.
        outputs: what comes out beside it.
        state_size: floats for each row.
        vocabulary: the character of each token id, of a text model.
        workspace: floats for each row that a call takes beside all else.
    """

    name: str
    signature: Signature
    inputs: list[Tensor]
    outputs: list[Tensor]
    state_size: int
    vocabulary: list[str] | None
    workspace: int

    @property
    def plain(self) -> bool:
        """Whether arrays need no names: there is one input, of numbers, and one output, of float32."""
        one = len(self.inputs) == len(self.outputs) == 1
        return one and self.inputs[0].dtype != "bool" and self.outputs[0].dtype == "float32"


def described(bundle: Bundle) -> Model:
    """Give what templates are told of a bundle."""
    signature = bundle.signature
    vocabulary = bundle.manifest.metadata.get("vocabulary")
    return Model(
        name=identifier(bundle.manifest.name),
        signature=signature,
        inputs=_tensors("IN", signature.inputs),
        outputs=_tensors("OUT", signature.outputs),
        state_size=sum(_units(leaf.shape) * (2 if leaf.dtype == "int64" else 1) for leaf in signature.state),
        vocabulary=list(vocabulary) if vocabulary else None,
        workspace=workspace_of(bundle),
    )


def _tensors(way: str, specs: Sequence[TensorSpec]) -> list[Tensor]:
    alone = len(specs) == 1
    return [
        Tensor(
            name=spec.name,
            dtype=spec.dtype,
            size=_units(spec.shape),
            every_step=TIME in spec.shape,
            macro=f"{way}PUT" if alone else f"{way}_{spec.name.upper()}",
            vocabulary_size=getattr(spec, "vocabulary", None),
        )
        for spec in specs
    ]


def _units(shape: Sequence[int | str]) -> int:
    return prod(size for size in shape if isinstance(size, int))
