"""Export a recipe's module, and compare every file with its NumPy twin on inputs that it never saw."""

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import rnn_export
from rnn_export.errors import PassError, RnnExportError, RuntimeUnavailableError, VerificationError
from tests.support.generated.cells import CELLS
from tests.support.generated.features import FEATURES
from tests.support.generated.inputs import example, unseen
from tests.support.generated.numpy_net import Array, Parameters
from tests.support.generated.outputs import OUTPUTS
from tests.support.generated.recipe import Recipe
from tests.support.generated.source import source
from tests.support.generated.starts import STARTS
from tests.support.generated.twin import twin

EXPORTED, REFUSED = "exported", "refused"
WRONG, UNTYPED, UNCLEAR = "wrong", "untyped", "unclear"  # the last: a refusal that does not name the cause
OUTCOMES = (EXPORTED, REFUSED, WRONG, UNTYPED, UNCLEAR)
BAD = (WRONG, UNTYPED, UNCLEAR)
RUNTIMES = ("onnxruntime", "torchscript", "c")
SIZES = ((12, 2), (30, 5), (1, 3), (9, 40), (300, 2), (600, 2))  # time steps and rows
LONG = 100  # time steps, of which one call is enough
EXACT = 1e-9  # of eager float64 and NumPy, relative to the largest number
MANY_ROUNDINGS = 50.0  # how much more a file may be off than eager in float32 is
SHAKES = 8  # of labels: of units that saturate alike any may be the largest
SHAKEN = 1e-5  # rows that move by much if parameters and units move by this have no answer in float32
State = list[Array] | None


@dataclass(frozen=True)
class Verdict:
    """What became of a recipe: one of the words above, and why."""

    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class Question:
    """One call, and the true answer; ``certain`` marks the rows of which it is known well enough."""

    inputs: Array
    state: State
    outputs: Array
    last: list[Array]
    allowed: float
    allowed_last: float
    certain: Array


def judged(recipe: Recipe, folder: Path) -> Verdict:
    """Export a recipe's module into a folder, and judge what came of it."""
    module = _module(source(recipe), folder / "net.py", f"generated_{recipe.seed}")
    model = _built(module, recipe)
    questions = [] if recipe.never else list(_questions(recipe, model, folder))
    shown = _shown(recipe, model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bundle = rnn_export.export(model, shown, folder / "bundle")
    except PassError as error:  # which says of itself that it is a bug
        return Verdict(UNTYPED, f"{type(error).__name__}: {error}")
    except RnnExportError as error:
        return _refused(recipe, error)
    except Exception as error:
        return Verdict(UNTYPED, f"{type(error).__name__}: {error}")
    if recipe.never:
        return Verdict(WRONG, "was exported, though it is no function of its arguments")
    try:
        found = [next(_faults(recipe, bundle, name, questions), "") for name in RUNTIMES]
    except Exception as error:
        return Verdict(WRONG, f"a call failed: {type(error).__name__}: {error}")
    faults = "; ".join(filter(None, found))
    return Verdict(WRONG, faults) if faults else Verdict(EXPORTED)


def _refused(recipe: Recipe, error: RnnExportError) -> Verdict:
    said = f"{type(error).__name__}: {error}"
    named = any(word.lower() in said.lower() for word in recipe.words)
    named = named and not isinstance(error, VerificationError)  # it says that files are wrong, and not why
    return Verdict(REFUSED if named else UNCLEAR, said)


def _module(text: str, path: Path, name: str) -> Any:
    """Import a text as a module of its own: TorchScript reads it from its file."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _built(module: Any, recipe: Recipe) -> nn.Module:
    """Make the net, no parameter of it zero, and none so large that it becomes chaotic."""
    torch.manual_seed(recipe.seed)
    model: nn.Module = module.Net()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * min(0.3, parameter.shape[0] ** -0.5))
    return model.eval()


def _shown(recipe: Recipe, model: nn.Module) -> Any:
    """Give the example for the export."""
    random = np.random.default_rng(recipe.seed)
    shape = (recipe.time, recipe.batch, recipe.F)
    inputs = _arranged(recipe, example(FEATURES[recipe.feature].draw, random, shape))
    start = STARTS[recipe.start]
    if not start.argument or (start.argument.endswith("None") and recipe.example_without_state):
        return torch.from_numpy(inputs)
    if start.method:
        return torch.from_numpy(inputs), model.begin_state(recipe.batch, torch.device("cpu"))
    state = [torch.zeros(_state_shape(recipe, recipe.batch)) for _ in CELLS[recipe.cell].state]
    return torch.from_numpy(inputs), state[0] if len(state) == 1 else tuple(state)


def _arranged(recipe: Recipe, raw: Array) -> Array:
    inputs = raw if recipe.tokens else raw.astype(np.float32)
    return np.ascontiguousarray(inputs.swapaxes(0, 1) if recipe.rows_first else inputs)


def _state_shape(recipe: Recipe, batch: int) -> tuple[int, ...]:
    return (*([1] if CELLS[recipe.cell].layer else []), batch, recipe.H)


def _questions(recipe: Recipe, model: nn.Module, folder: Path) -> Iterator[Question]:
    """Ask what the example does not show. PyTorch in float64 has to agree with NumPy first."""
    exact = _exact(recipe, model, folder)
    parameters = {name: value.numpy() for name, value in exact.state_dict().items()}
    random = np.random.default_rng(recipe.seed + 1)
    shaken = {
        name: value * (1 + SHAKEN * random.standard_normal(value.shape)) for name, value in parameters.items()
    }
    start = STARTS[recipe.start]
    beyond = [(int(constant) + 30, 2) for constant in recipe.constants if constant > max(SIZES)[0]]
    for time, batch in (*SIZES, *beyond):
        raw = unseen(FEATURES[recipe.feature].draw, random, (time, batch, recipe.F))
        inputs = _arranged(recipe, raw)
        drawn = [_drawn(random, _state_shape(recipe, batch), kind) for kind in _kinds(recipe)]
        states = [drawn] * bool(start.argument) + [None] * (start.twin is not None)
        chosen = states if time < LONG else [states[int(random.integers(len(states)))]]
        for state in chosen:
            yield _asked(recipe, (model, exact), (parameters, shaken), inputs, state)


def _kinds(recipe: Recipe) -> list[type]:
    cell = CELLS[recipe.cell]
    return list(map(type, cell.begins)) or [float] * len(cell.state)


def _drawn(random: np.random.Generator, shape: tuple[int, ...], kind: type) -> Array:
    """Draw a tensor of a state: numbers, or truth values."""
    numbers = random.standard_normal(shape)
    return numbers > 0 if kind is bool else (0.3 * numbers).astype(np.float32)


def _apart(one: Array, other: Array) -> float:
    return float(np.abs(np.subtract(one, other, dtype=np.float64)).max())


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _asked(
    recipe: Recipe,
    models: tuple[nn.Module, nn.Module],
    parameters: tuple[Parameters, Parameters],
    inputs: Array,
    state: State,
) -> Question:
    wide = _wide(inputs)
    begun = None if state is None else list(map(_wide, state))
    outputs, last = twin(recipe, parameters[0], wide, begun)
    size = max(1.0, float(np.abs(outputs).max()))
    torch.set_default_dtype(torch.float64)
    try:
        exact, *_ = eager(recipe, models[1], wide, begun)
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.abs(exact - outputs).max() <= EXACT * size, (
        f"the twin differs by {np.abs(exact - outputs).max()}"
    )
    single, *reached = eager(recipe, models[0], inputs, state)
    shakes = 1 if outputs.dtype.kind == "f" else SHAKES
    moved = [twin(recipe, parameters[1], wide, begun, SHAKEN, seed)[0] for seed in range(shakes)]
    row_axis = 0 if recipe.rows_first or not OUTPUTS[recipe.output].steps else 1
    others = tuple(axis for axis in range(outputs.ndim) if axis != row_axis)
    certain = np.max([np.abs(each - outputs).max(others) for each in moved], 0) < 100 * SHAKEN * size
    off = np.abs(single - outputs).max(others)
    allowed = MANY_ROUNDINGS * float(off[certain].max(initial=0)) + 1e-5 * size
    off_last = [_apart(one, other) for one, other in zip(reached, last, strict=False)]
    size_last = max(1.0, *(float(np.abs(leaf).max()) for leaf in last))
    allowed_last = MANY_ROUNDINGS * max(off_last, default=0.0) + 1e-5 * size_last
    return Question(inputs, state, outputs, last, allowed, allowed_last, certain)


def _exact(recipe: Recipe, model: nn.Module, folder: Path) -> nn.Module:
    """Give the same net in float64, of the same text."""
    text = source(recipe).replace(".float()", ".double()")
    module = _module(text, folder / "exact.py", f"exact_{recipe.seed}")
    exact: nn.Module = module.Net().double()
    exact.load_state_dict(model.state_dict())
    return exact.eval()


def eager(recipe: Recipe, model: nn.Module, inputs: Array, state: State) -> tuple[Array, ...]:
    """Run a module: give the outputs, and the tensors of the state if it returns one."""
    arguments: list[Any] = [torch.from_numpy(inputs.copy())]
    if state is not None:
        leaves = [torch.from_numpy(leaf.copy()) for leaf in state]
        arguments.append(leaves[0] if len(leaves) == 1 else tuple(leaves))
    elif STARTS[recipe.start].method:
        batch = inputs.shape[0 if recipe.rows_first else 1]
        arguments.append(model.begin_state(batch, torch.device("cpu")))
    with torch.no_grad():
        result = model(*arguments)
    if not STARTS[recipe.start].argument:
        return (result.numpy(),)
    outputs, last = result
    return (
        outputs.numpy(),
        *(leaf.numpy() for leaf in ((last,) if isinstance(last, torch.Tensor) else last)),
    )


def _faults(
    recipe: Recipe, bundle: rnn_export.Bundle, runtime: str, questions: Sequence[Question]
) -> Iterator[str]:
    """Say where a file gives something else than the twin, whole or cut into two pieces."""
    try:
        runner = rnn_export.load(bundle.folder, runtime=runtime)
    except RuntimeUnavailableError:
        return
    for question in questions:
        if question.state is not None and not runner.signature.streamable:
            continue
        given = question.inputs.copy()
        begun = None if question.state is None else tuple(leaf.copy() for leaf in question.state)
        outputs, last = runner(given, begun)
        where = f"{runtime} at {list(given.shape)}{' with a state' if begun else ''}"
        if not np.array_equal(given, question.inputs, equal_nan=given.dtype.kind == "f"):
            yield f"{where} changes its inputs"
        if begun and not all(map(np.array_equal, begun, question.state or [])):
            yield f"{where} changes the state that it is given"
        yield from _compared(recipe, question, outputs, where)
        if begun and runner.signature.returns_state:
            off = max(_apart(one, other) for one, other in zip(last, question.last, strict=True))
            if question.certain.all() and not off <= question.allowed_last:
                yield f"{where} is off by {off:.2g} in the state (allowed {question.allowed_last:.1g})"
        if runner.signature.streamable and runner.signature.returns_state:
            yield from _compared(recipe, question, _cut(recipe, runner, question), f"{where}, cut in two")


def _compared(recipe: Recipe, question: Question, outputs: Array, where: str) -> Iterator[str]:
    rows = 0 if recipe.rows_first or not OUTPUTS[recipe.output].steps else 1
    if outputs.shape != question.outputs.shape:
        yield f"{where} gives {list(outputs.shape)} instead of {list(question.outputs.shape)}"
        return
    off = float(np.abs(outputs - question.outputs).compress(question.certain, rows).max(initial=0))
    if not off <= question.allowed:
        yield f"{where} is off by {off:.2g} (allowed {question.allowed:.1g})"


def _cut(recipe: Recipe, runner: Any, question: Question) -> Array:
    """Run two pieces one after the other."""
    axis = 1 if recipe.rows_first else 0
    place = question.inputs.shape[axis] // 3
    state = None if question.state is None else tuple(leaf.copy() for leaf in question.state)
    pieces: list[Array] = []
    for piece in np.split(question.inputs, [place], axis):
        if piece.shape[axis]:
            outputs, state = runner(np.ascontiguousarray(piece), state)
            pieces.append(outputs)
    return np.concatenate(pieces, axis) if OUTPUTS[recipe.output].steps else pieces[-1]
