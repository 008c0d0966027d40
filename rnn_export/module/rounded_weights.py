"""A copy of a module with its matrices rounded: what every file of smaller weights is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, class_name, mismatch, nearest
from rnn_export.module.arguments import arguments_of
from rnn_export.module.calling import ANOTHER_EXAMPLE, describe
from rnn_export.module.copying import copied
from rnn_export.module.matrices import matrices
from rnn_export.module.preparation import HALVES, copy_of
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import original_of
from rnn_export.program.small_weights import FLOAT32, FORMATS, rounded


@dataclass(frozen=True)
class RoundedWeights:
    """How the weights of a module were rounded.

    Attributes:
        kind: the format, one of ``FORMATS``.
        matrices: those that were rounded, by name: their numbers before and after.
        kept: the names of parameters of several axes that no product reads as they are: they stay float32.
    """

    kind: str = FLOAT32
    matrices: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    kept: tuple[str, ...] = ()

    def undone(self, subject: Subject) -> Subject:
        """Give the module as it was before: a copy of it whose matrices are not rounded."""
        model = copied(subject.model)
        for name, parameter in model.named_parameters():
            for own, (before, after) in self.matrices.items():
                if f".{name}".endswith(f".{own}") and torch.equal(parameter, after):
                    parameter.data.copy_(before)
        return replace(subject, model=model)


NOT_ROUNDED = RoundedWeights()


def check_format(kind: object) -> None:
    """Check that there are weights of a format.

    Raises:
        InputError: there are none.
    """
    if kind not in FORMATS:
        remedy = nearest(str(kind), FORMATS, "Leave it out for float32.")
        raise InputError(mismatch("weights", f"one of {', '.join(FORMATS)}", repr(kind), remedy))


def with_rounded_weights(
    model: nn.Module, example: Any, kwargs: Mapping[str, Any] | None, kind: str
) -> tuple[nn.Module, RoundedWeights]:
    """Copy a module and round its matrices, all those that a call of the example multiplies or looks up.

    For int8 each output channel has a scale of its own. Biases and all else of one axis stay as they are.

    Raises:
        InputError: the module does not take the example.
        ModelError: it has no matrix, or is not in float32.
    """
    if kind == FLOAT32:
        return model, NOT_ROUNDED
    twin, modes = copy_of(model)
    if any(each.dtype == torch.float64 for each in twin.parameters()):
        where, remedy = f"parameters of {class_name(model)}", "Convert it with model.float()."
        raise ModelError(mismatch(where, f"float32, to be rounded to {kind}", "float64", remedy))
    found = _matrices(twin, example, kwargs)
    parameters, changed = dict(twin.named_parameters()), dict[str, tuple[Tensor, Tensor]]()
    for name, axes in found.items():
        values = parameters[name].detach()
        changed[name] = values.clone(), torch.from_numpy(rounded(values.numpy(), axes, kind))
        values.copy_(changed[name][1])
    if not changed:
        expected = f"matrices among the parameters of {class_name(model)}, to be rounded to {kind}"
        raise ModelError(mismatch("weights", expected, "none that a product reads", "Leave weights= out."))
    for module, training in zip(original_of(twin).modules(), modes, strict=True):
        module.training = training
    several = (name for name, each in parameters.items() if each.dim() > 1 and name not in found)
    return twin, RoundedWeights(kind, changed, tuple(several))


def _matrices(
    model: nn.Module, example: Any, kwargs: Mapping[str, Any] | None
) -> Mapping[str, tuple[int, ...]]:
    """Find the matrices of finite numbers."""
    arguments = arguments_of(example, kwargs)
    arguments = arguments.mapped(lambda leaf: leaf.float() if leaf.dtype in HALVES else leaf.clone())
    probe = copied(model)
    try:
        found = matrices(probe, arguments.args, arguments.kwargs)
    except Exception as error:
        given = describe([leaf for _, leaf in arguments.leaves])
        raise InputError(f"{class_name(model)} failed on {given}: {error}. {ANOTHER_EXAMPLE}") from error
    own = dict(probe.named_parameters())
    return {name: axes for name, axes in found.items() if own[name].isfinite().all()}
