"""The PyTorch text of a recipe: a class as people write it, which TorchScript can read."""

import re
from math import isfinite
from textwrap import dedent, indent

from tests.support.generated.cells import CELLS
from tests.support.generated.features import FEATURES
from tests.support.generated.outputs import OUTPUTS
from tests.support.generated.recipe import TWISTS, Recipe
from tests.support.generated.starts import STARTS

SIZES = {"O": 3}
HEAD = """\
from typing import Optional, Tuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
"""
LOOPS = {
    "index": ("for t in range(x.shape[0]):", "x_t = x[t]"),
    "projected": ("for t in range(x.shape[0]):", "x_t = x[t]"),
    "filled": ("for t in range(x.shape[0]):", "x_t = x[t]"),
    "rows": ("for x_t in x:", ""),
    "unbind": ("for x_t in x.unbind(0):", ""),
    "enumerate": ("for t, x_t in enumerate(x.unbind(0)):", ""),
    "while": ("while t < x.size(0):", "x_t = x[t]"),
}
COUNTED = ("index", "projected", "filled", "enumerate")  # which give ``t``


def source(recipe: Recipe) -> str:
    """Give the text of a module whose class is ``Net``."""
    text = HEAD + indent(_init(recipe), " " * 8)
    start = STARTS[recipe.start]
    if start.method:
        cell = CELLS[recipe.cell]
        own = [
            f"torch.full((batch_size, {{H}}), {value}, device=device)" for value in map(_literal, cell.begins)
        ]
        value = f"return {_tuple(own or [start.method] * len(cell.state))}"
        text += f"\n    def begin_state(self, batch_size, device):\n{indent(_sized(value, recipe), ' ' * 8)}"
    arguments = ", ".join(["self", "inputs", *([start.argument] if start.argument else [])])
    body = "".join(_lines(piece, recipe) for piece in _forward(recipe))
    return text + _sized(f"\n    def forward({arguments}):\n", recipe) + indent(body, " " * 8)


def _init(recipe: Recipe) -> str:
    cell, start, feature = CELLS[recipe.cell], STARTS[recipe.start], FEATURES[recipe.feature]
    pieces = [feature.init, cell.init, start.init, *(TWISTS[name].init for name in recipe.twists)]
    if OUTPUTS[recipe.output].head:
        pieces.append("self.head = nn.Linear({H}, {O})")
    return "".join(_lines(piece, recipe) for piece in pieces)


def _forward(recipe: Recipe) -> list[str]:
    cell, start, output = CELLS[recipe.cell], STARTS[recipe.start], OUTPUTS[recipe.output]
    return [
        *_hooks(recipe, "argument"),
        "raw = inputs.transpose(0, 1)" if recipe.rows_first else "raw = inputs",
        f"x = {FEATURES[recipe.feature].text}",
        *_hooks(recipe, "whole"),
        start.text,
        _layer(recipe) if cell.layer else _loop(recipe),
        output.text,
        "y = self.head(y)" if output.head else "",
        "y = y.transpose(0, 1)" if output.steps and recipe.rows_first else "",
        f"return y, {_tuple(cell.state)}" if start.argument else "return y",
    ]


def _layer(recipe: Recipe) -> str:
    text = CELLS[recipe.cell].text
    if not recipe.rows_first:
        return text
    return text.replace("(x,", "(x.transpose(0, 1),") + "\ny = y.transpose(0, 1)"


def _loop(recipe: Recipe) -> str:
    cell = dedent(CELLS[recipe.cell].text).strip()
    read, new, kept = (_hooks(recipe, place) for place in ("read", "new", "keep"))
    loop = recipe.loop
    odd = "\n".join([*read, *new, *kept])
    if loop == "projected" and (re.search(r"\bx_t\b", odd) or "self.x(x_t)" not in cell):
        loop = "index"
    if loop == "projected":
        cell = cell.replace("self.x(x_t)", "projected[t]")
    header, first = LOOPS[loop]
    counts = loop == "while" or (loop not in COUNTED and bool(re.search(r"\bt\b", odd)))
    put = "y[t] = h" if loop == "filled" else "out.append(h)"
    steps = [first if loop != "projected" else "", *read, cell, *new, *(kept or ["@ = @_new"]), put]
    body = "\n".join([*(_lines(step, recipe) for step in steps), "t += 1" if counts else ""])
    before = {
        "filled": "y = torch.zeros(x.shape[0], x.shape[1], {H}, dtype=x.dtype)",
        "projected": "projected = self.x(x)\nout = []",
    }.get(loop, "out = []")
    text = "\n".join([before, "t = 0" if counts else "", header, indent(body, "    ")])
    if loop == "filled":
        return text.replace("out[", "y[")
    return f"{text}\ny = torch.stack(out)"


def _hooks(recipe: Recipe, place: str) -> list[str]:
    """Give what is odd at a place, with its number."""
    rows = ":, " if recipe.rows_first else ""
    texts = [(hook.text.replace("{cut}", f"{rows}:{{n}}"), number) for hook, number in recipe.hooks(place)]
    return [text.replace("{n}", repr(number)) for text, number in texts]


def _lines(text: str, recipe: Recipe) -> str:
    """Give the lines of a piece, those with ``@`` once for each tensor of the state."""
    lines: list[str] = []
    for line in _sized(dedent(text).strip("\n"), recipe).splitlines():
        names = CELLS[recipe.cell].state if "@" in line else ("",)
        lines += [line.replace("@", name) for name in names if line.strip()]
    return "".join(f"{line}\n" for line in lines)


def _sized(text: str, recipe: Recipe) -> str:
    cell = CELLS[recipe.cell]
    values = {
        "X": recipe.width,
        "F": recipe.F,
        "H": recipe.H,
        "O": SIZES["O"],
        "lead": "1, " if cell.layer else "",
        "unsqueezed": ".unsqueeze(0)" if cell.layer else "",
        "first": ", batch_first=True" if recipe.rows_first else "",
        "padding": ", padding_idx=0" if recipe.padding_row else "",
        "names": ", ".join(cell.state),
        "state_type": "torch.Tensor" if len(cell.state) == 1 else "Tuple[torch.Tensor, torch.Tensor]",
    }
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _tuple(names: tuple[str, ...] | list[str]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def _literal(value: float) -> str:
    return str(value) if isfinite(value) else f"float('{value}')"
