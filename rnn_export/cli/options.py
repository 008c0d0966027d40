"""Options that several commands have, and what is read from them."""

from pathlib import Path
from typing import Annotated

import typer

from rnn_export.benchmark.bench import Origin, Shape

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="MODULE:FACTORY or FILE.py:FACTORY; the factory returns (model, (inputs, state)), or "
        "any arguments of the model: (model, args) or (model, args, kwargs). "
        "Or FILE.pt, a saved ScriptModule that you trust, with --shape.",
        show_default=False,
    ),
]

Axes = Annotated[
    list[str] | None,
    typer.Option(help="Which axis is which, if trying leaves it open: --axes inputs=batch,time,_"),
]

Role = Annotated[
    list[str] | None,
    typer.Option(help="What an argument is, if trying leaves it open: --role speaker=context"),
]

MARCH = "For one kind of processor: native is this one: the fastest here, it may not run elsewhere."
March = Annotated[
    str,
    typer.Option(help=MARCH, show_default="code for several, chosen at run time"),
]

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The bundle's folder.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]

Signature = Annotated[
    Path | None, typer.Option("--signature", metavar="FILE", help="The signature.", show_default="DIR.sig")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]

Checkpoint = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="FILE", help="Weights for what the factory builds (torch.save)."),
]

Eager = Annotated[
    str | None,
    typer.Option("--eager", metavar="TARGET", help="The module that was exported, to be timed as well."),
]

Require = Annotated[
    list[str] | None,
    typer.Option(
        "--require", metavar="c,onnx,...", help="Fail if one of these files or runtimes is not checked."
    ),
]


def shape_of(text: str) -> Shape:
    """Read time steps and batch."""
    sizes = text.split(",")
    if len(sizes) != 2 or not all(size.isdecimal() and int(size) for size in sizes):
        raise typer.BadParameter(f"expected T,B, as 100,2, got {text!r}", param_hint="--shape")
    return int(sizes[0]), int(sizes[1])


def load_model(target: str | None, checkpoint: Path | None) -> Origin | None:
    """Load the module that a bundle is compared with."""
    if target is None:
        return None
    from rnn_export.cli.target import load_target  # noqa: PLC0415 (takes seconds)

    return load_target(target, checkpoint=checkpoint)
