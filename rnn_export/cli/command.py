"""What the help of every command has: an example, and flags that read as flags."""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

EXAMPLES = {
    "export": "my_model.py:factory --out bundles/my_model",
    "sign": "bundles/my_model --key KEY.pem",
    "verify": "bundles/my_model --require c,onnx",
    "inspect": "bundles/my_model --passes",
    "optimize": "model.onnx --out faster.onnx",
    "bench": "bundles/my_model --shape 100,2 --eager my_model.py:factory",
    "report": "bundles/my_model --open",
    "compile": "bundles/my_model --out lib --static",
    "cache": "--clear",
    "score": "bundles/my_model sequences.parquet --out scores",
    "scaffold": "bundles/my_model --host c --out my_program",
}


class Command(TyperCommand):
    """A command whose flags are shown without a type: ``--json``, not ``--json <bool>``."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Give the options, no flag of which has a type."""
        return without_types(super().get_params(ctx))


class Group(TyperGroup):
    """The same of the options before the command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Give the options, no flag of which has a type."""
        return without_types(super().get_params(ctx))


def without_types(params: list[Any]) -> list[Any]:
    """Take the type from what is a flag."""
    for each in params:
        if getattr(each, "is_flag", False):
            each.metavar = ""
    return params


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a command under a name, with its example."""
    return app.command(name, cls=Command, epilog=f"Example: rnn-export {name} {EXAMPLES[name]}")
