"""What the tensors of a call are called: as the module has them, where there are several of a kind."""

import inspect
import keyword
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import nn

from rnn_export.module.arguments import Arguments
from rnn_export.module.calling import OUTPUTS
from rnn_export.module.wrappers import original_of
from rnn_export.signature.tensors import LENGTHS
from rnn_export.signature.tree import Path, enumerate_names, names_of

INPUTS = "inputs"
RESERVED = {INPUTS, OUTPUTS, LENGTHS.name}
LONGEST = 64  # characters
WORDS = {"self", "state", LENGTHS.name}  # of the functions around a module, in model.pt
Pairs = tuple[tuple[int, int], ...]  # numbers of tensors that go in, and of those that they come out as


def parameter_names(model: nn.Module, arguments: Arguments) -> list[str]:
    """Name the tensors that go in: by the field or key that holds each, or the parameter of ``forward``."""
    return names_at(model, [path for path, _ in arguments.leaves])


def names_at(model: nn.Module, paths: Sequence[Path]) -> list[str]:
    """Name what stands at places of the arguments."""
    try:
        parameters = list(inspect.signature(original_of(model).forward).parameters)
    except (TypeError, ValueError, AttributeError):
        parameters = []
    found = []
    for path in paths:
        kind, *inside = path
        outer = inside[0]
        if kind == 0:
            outer = parameters[int(outer)] if int(outer) < len(parameters) else f"argument_{outer}"
        words = [str(outer), *map(str, inside[1:])]
        found.append(words[-1] if isinstance(inside[-1], str) or len(inside) == 1 else "_".join(words))
    return found


@dataclass(frozen=True)
class Names:
    """What tensors of a call are called: as the module has them, where there are several of a kind.

    ``takes`` and ``gives`` are in the order of the module's own arguments and results; ``parameters`` are its
    own names of the inputs.
    """

    inputs: tuple[str, ...]
    state: tuple[str, ...]
    outputs: tuple[str, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    parameters: tuple[str, ...] = ()

    @property
    def of_inputs(self) -> list[list[str]]:
        """What each input may be called: its name here, and the module's own."""
        own = self.parameters or self.inputs
        return [list(dict.fromkeys(pair)) for pair in zip(self.inputs, own, strict=True)]


PLAIN_NAMES = Names((INPUTS,), (), (OUTPUTS,), (), ())


def named(
    model: nn.Module,
    arguments: Arguments,
    inputs: Sequence[int],
    pairs: Pairs,
    came: Sequence[Path],
) -> Names:
    """Name the tensors of a call."""
    went = [path for path, _ in arguments.leaves]
    parameters = parameter_names(model, arguments)
    states = [place for place, _ in pairs]
    own_states = [parameters[place] for place in states]
    spoken = all(isinstance(went[place][-1], str) or len(went[place]) == 2 for place in states)
    usable = spoken and len(states) > 1 and are_usable(own_states, RESERVED)
    state = own_states if usable else names_of([*states])
    own_inputs = [parameters[place] for place in inputs]
    single = len(inputs) == 1
    if single or not are_usable(own_inputs, {*state, OUTPUTS, *WORDS}):
        own_inputs = [INPUTS] if single else [f"{INPUTS}_{number}" for number in range(len(inputs))]
    new = [number for _, number in pairs]
    outputs = [number for number in range(len(came)) if number not in new]
    own_outputs = _output_names([came[number] for number in outputs], {*own_inputs, *state})
    by_place = dict(zip(states, state, strict=True)) | dict(zip(inputs, own_inputs, strict=True))
    by_number = {number: f"{name}_out" for number, name in zip(new, state, strict=True)}
    by_number |= dict(zip(outputs, own_outputs, strict=False))
    first = [] if outputs else own_outputs  # the first of the state, once more
    return Names(
        tuple(own_inputs),
        tuple(state),
        tuple(own_outputs),
        tuple(by_place[place] for place in range(len(went))),
        (*first, *(by_number[number] for number in range(len(came)))),
        tuple(parameters[place] for place in inputs),
    )


def are_usable(names: Sequence[str], taken: Collection[str]) -> bool:
    """Whether names are different, those of variables, and not taken."""
    return len({*names}) == len(names) and not {*taken} & {*names} and all(map(_is_name, names))


def _is_name(name: str) -> bool:
    """Whether a name can be one in every file and language."""
    return name.isidentifier() and name.isascii() and len(name) <= LONGEST and not keyword.iskeyword(name)


def _output_names(paths: Sequence[Path], taken: Collection[str]) -> list[str]:
    """Name the outputs: by the keys or fields that hold them, or by their numbers."""
    if len(paths) < 2:
        return [OUTPUTS]
    own = ["_".join(map(str, path)) for path in paths]
    own = [f"{name}_out" if name in taken else name for name in own]
    keys = [str(path[-1]) for path in paths]
    results = {f"{name}_out" for name in taken}
    for names in (keys, own):
        if are_usable(names, {*taken, *results, INPUTS, LENGTHS.name}):
            return names
    return [name for name, _ in enumerate_names(paths, f"{OUTPUTS}_")]
