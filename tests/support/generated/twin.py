"""A recipe once more, in NumPy float64: the answer that every file is compared with."""

from collections.abc import Sequence

import numpy as np

from tests.support.generated.cells import CELLS
from tests.support.generated.features import FEATURES
from tests.support.generated.kinds import Run
from tests.support.generated.numpy_net import Array, Parameters, linear
from tests.support.generated.outputs import OUTPUTS
from tests.support.generated.recipe import Recipe
from tests.support.generated.starts import STARTS


def twin(
    recipe: Recipe,
    parameters: Parameters,
    inputs: Array,
    state: Sequence[Array] | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> tuple[Array, list[Array]]:
    """Run a recipe: give the outputs and the tensors of the last state, in the axes of the module.

    With ``noise`` each hidden unit is off by about so much, as it may be: units that saturate are then apart.
    """
    cell, output = CELLS[recipe.cell], OUTPUTS[recipe.output]
    run = Run(p=parameters, inputs=inputs.copy(), rows_first=recipe.rows_first, H=recipe.H)
    _hooks(run, recipe, "argument")
    run.raw = run.inputs.swapaxes(0, 1) if recipe.rows_first else run.inputs
    run.x = FEATURES[recipe.feature].twin(parameters, run.raw)
    _hooks(run, recipe, "whole")
    run.state = [leaf.reshape(run.x.shape[1], recipe.H).copy() for leaf in state or []] or _begun(run, recipe)
    run.out = []
    for t, x_t in enumerate(run.x):
        run.t, run.x_t = t, x_t
        _hooks(run, recipe, "read")
        run.new = cell.twin(parameters, run.x_t, run.state)
        _hooks(run, recipe, "new")
        if not _hooks(run, recipe, "keep"):
            run.state = run.new
        run.out.append(run.state[0].copy() if recipe.loop == "filled" else run.state[0])
    units = np.stack(run.out)
    y = output.twin(run, units + noise * np.random.default_rng(seed).standard_normal(units.shape))
    y = linear(parameters, "head", y) if output.head else y
    y = y.swapaxes(0, 1) if output.steps and recipe.rows_first else y
    return y, [leaf[None] if cell.layer else leaf for leaf in run.state]


def _begun(run: Run, recipe: Recipe) -> list[Array]:
    own = CELLS[recipe.cell].begins
    if own:
        return [np.full((run.x.shape[1], recipe.H), value) for value in own]
    begin = STARTS[recipe.start].twin
    assert begin, "this start is always given"
    return [begin(run) for _ in CELLS[recipe.cell].state]


def _hooks(run: Run, recipe: Recipe, place: str) -> bool:
    """Run what is odd at a place; whether there was anything."""
    hooks = recipe.hooks(place)
    for hook, run.n in hooks:
        hook.twin(run)
    return bool(hooks)
