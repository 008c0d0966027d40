"""``--checkpoint FILE``: the weights of a model that a factory built without them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.cli.user_code import SEVERAL
from rnn_export.errors import TargetError, class_name

Weights = Mapping[str, Tensor]


def load_checkpoint(model: nn.Module, file: Path) -> None:
    """Load the weights that ``torch.save`` wrote into a model: no code that the file may hold is run.

    They may be an entry of a dict, as training scripts keep them, and their names may have a prefix, as those
    of ``DataParallel`` or of a wrapping module have.

    Raises:
        TargetError: the file cannot be read, holds no weights, or weights of another model.
    """
    own = model.state_dict()
    weights = _without_prefix(_weights_of(file, own), own)
    wrong = [
        *_listed("are missing", [name for name in own if name not in weights]),
        *_listed("are not the model's", [name for name in weights if name not in own]),
        *_listed("have other shapes", _of_other_shapes(weights, own)),
    ]
    if wrong:
        remedy = "Build the model as it was when the file was saved."
        raise TargetError(f"{file} does not fit {class_name(model)}: {'; '.join(wrong)}. {remedy}")
    model.load_state_dict(weights)


def _weights_of(file: Path, own: Weights) -> Weights:
    remedy = "Name a file that torch.save(model.state_dict(), FILE) wrote."
    if not file.is_file():
        raise TargetError(f"{file}: no such file in {Path.cwd()}. {remedy}")
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # those of zip files, of pickles and of PyTorch
        reason = "it holds more than tensors, which could run code, or torch.save did not write it"
        raise TargetError(f"{file} cannot be read as weights: {reason}. {remedy}") from error
    entries = found.values() if isinstance(found, Mapping) else ()
    held = [entry for entry in (found, *entries) if _are_weights(entry)]
    if not held:
        raise TargetError(f"{file}: expected weights by name, got {type(found).__name__}. {remedy}")
    return max(held, key=lambda weights: sum(any(name.endswith(one) for one in own) for name in weights))


def _are_weights(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and bool(value) and all(isinstance(one, Tensor) for one in value.values())
    )


def _without_prefix(weights: Weights, own: Weights) -> Weights:
    """Take off what stands in front of all names of the model: ``module.``, say."""
    first = next(iter(own), "")
    for name in weights:
        prefix = name.removesuffix(first)
        if prefix and name.endswith(first) and all(f"{prefix}{each}" in weights for each in own):
            return {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _of_other_shapes(weights: Weights, own: Weights) -> list[str]:
    return [
        f"{name} {list(weights[name].shape)} instead of {list(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]


def _listed(what: str, names: list[str]) -> list[str]:
    """Say what is wrong with some names, of which a few are given."""
    more = f" and {len(names) - SEVERAL} more" if len(names) > SEVERAL else ""
    return [f"{', '.join(names[:SEVERAL])}{more} {what}"] if names else []
