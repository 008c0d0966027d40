"""Try what SECURITY.md promises, for long.

python -m trials [TRIAL...] [--short]

Each trial prints its figures in one line. The tests run the same trials, short. The exit status is 0 only if
every promise held.
"""

from time import monotonic
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from trials import TRIALS, BrokenPromiseError


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TRIAL...", help=f"Of {', '.join(TRIALS)}. [default: all]", show_default=False
        ),
    ] = None,
    short: Annotated[bool, typer.Option("--short", help="As short as in the tests.")] = False,
) -> None:
    """Try what SECURITY.md promises, for long."""
    unknown = sorted(set(names or []) - set(TRIALS))
    if unknown:
        raise typer.BadParameter(f"expected some of {', '.join(TRIALS)}, got {', '.join(unknown)}")
    console, broken = Console(soft_wrap=True, highlight=False), False
    for trial in (TRIALS[name] for name in names or TRIALS):
        begun = monotonic()
        try:
            said = f"[green]✓[/] {trial.name}: {escape(trial.run(trial.short if short else trial.amount))}"
        except BrokenPromiseError as error:
            said, broken = f"[bold red]✗[/] {trial.name}: {escape(str(error))}", True
        console.print(f"{said} [dim]({monotonic() - begun:.0f} s)")
    raise typer.Exit(int(broken))


if __name__ == "__main__":
    typer.run(main)
