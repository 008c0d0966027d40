"""The command for who runs a bundle over many sequences."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rnn_export.bundle.bundle import Bundle
from rnn_export.cli.options import Json
from rnn_export.cli.terminal import escape, line, out, progress, reporting
from rnn_export.fleets.packages import need
from rnn_export.runtimes.table import RUNTIMES


def score_command(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.", show_default=False)
    ],
    path: Annotated[
        Path,
        typer.Argument(
            metavar="IN.parquet",
            help="A file, or a folder of files, with a sequence a row.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the results go.", show_default=False)
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="What a column is called: --column inputs=features"),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="The columns to copy.", show_default="all that the model does not take"
        ),
    ] = None,
    state: Annotated[bool, typer.Option("--state", help="Write the new state, too.")] = False,
    cast: Annotated[bool, typer.Option("--cast", help="Round numbers of another type.")] = False,
    runtime: Annotated[str, typer.Option(help=f"One of {', '.join(RUNTIMES)}.")] = "c",
    threads: Annotated[
        int | None, typer.Option(help="Of each process.", show_default="all cores; with --ray one", min=1)
    ] = None,
    with_ray: Annotated[
        bool, typer.Option("--ray", help="Use the Ray cluster of RAY_ADDRESS, or one on this machine.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes of --ray.", show_default="as many as fit", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a bundle over every row of Parquet files; a run that was killed goes on where it ended."""
    if workers and not with_ray:
        raise typer.BadParameter("expected --ray beside --workers, got none")
    columns = _columns(column or ())
    with reporting():
        need("pyarrow", "score")
        if with_ray:
            need("ray", "ray")
        with progress() as report_progress:
            report_progress("Loading the model", 0, 1)
            from rnn_export.fleets import files  # noqa: PLC0415 (an extra, as Ray is)
            from rnn_export.fleets.plan import Asked  # noqa: PLC0415

            opened = Bundle.open(bundle)
            if with_ray:
                from rnn_export.ray import on_workers  # noqa: PLC0415

                run = on_workers(opened, runtime, workers, threads)
            else:
                run = files.here(opened, runtime, threads)
            asked = Asked(columns, None if keep is None else keep.split(","), state, cast)
            scored = files.score_files(
                path, opened, folder, run, asked=asked, runtime=runtime, progress=report_progress
            )
        if as_json:
            out.print_json(json.dumps({"folder": str(folder), **asdict(scored)}))
            return
        before = f", {scored.rows - scored.scored:,} of them before" if scored.scored < scored.rows else ""
        written = f"{scored.rows:,} rows{before}, in {scored.parts} file{'s' * (scored.parts != 1)}"
        rate = f"{scored.scored / scored.seconds:,.0f} rows a second"
        line(f"[green]Written:[/] {escape(str(folder))}, {written}; {rate}")


def _columns(named: Sequence[str]) -> Mapping[str, str]:
    """Read which column is which."""
    for each in named:
        if not all(each.partition("=")):
            raise typer.BadParameter(f"expected NAME=COLUMN, got {each!r}", param_hint="--column")
    return {name: own for name, _, own in (each.partition("=") for each in named)}


SCORING: Mapping[str, Callable[..., None]] = {"score": score_command}
