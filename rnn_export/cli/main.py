"""The command line: one function a command; ``rnn-export --help`` lists them."""

import json
import shlex
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from rnn_export.benchmark import bench
from rnn_export.bundle import signing
from rnn_export.bundle.bundle import Bundle, chosen_form
from rnn_export.bundle.layout import MODEL_ONNX
from rnn_export.bundle.weights import weights_text
from rnn_export.cli.command import Group, command
from rnn_export.cli.options import (
    Axes,
    Checkpoint,
    Debug,
    Eager,
    Folder,
    Json,
    Require,
    Role,
    Signature,
    Target,
    load_model,
    shape_of,
)
from rnn_export.cli.scoring import SCORING
from rnn_export.cli.shipping import SHIPPING
from rnn_export.cli.terminal import (
    call_table,
    check_table,
    escape,
    file_table,
    line,
    out,
    pass_table,
    progress,
    reporting,
    show,
    write_anything,
)
from rnn_export.runtimes.turns import SECONDS
from rnn_export.verification.verify import VerificationReport, verify
from rnn_export.version import __version__

app = typer.Typer(
    help="Export recurrent PyTorch modules as they are written, and prove every file equal to eager.",
    no_args_is_help=True,
    cls=Group,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    write_anything()
    app()


def _version(value: bool) -> None:
    if value:
        out.print(f"rnn-export {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Export recurrent PyTorch modules as they are written, and prove every file equal to eager."""


@command(app, "export")
def export_command(
    target: Target,
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the bundle goes.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(help="The model's name.", show_default="the folder's name")
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(help="For a FILE.pt: inputs to try it on, as 100,2,16; 100,2 are token ids."),
    ] = None,
    axes: Axes = None,
    role: Role = None,
    batch_first: Annotated[
        bool | None,
        typer.Option("--batch-first/--time-first", help="In sequences, if trying leaves it open."),
    ] = None,
    step: Annotated[
        bool, typer.Option("--step", help="The module takes one time step, without a time axis.")
    ] = False,
    lengths: Annotated[
        bool, typer.Option("--lengths", help="Let the files take the number of time steps of each row.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    require: Require = None,
    checkpoint: Checkpoint = None,
    opset: Annotated[int | None, typer.Option(help="The opset of the ONNX files.", show_default="18")] = None,
    weights: Annotated[
        str, typer.Option(help="Round the matrices: to int8, a scale for each output channel, or bf16.")
    ] = "float32",
    no_c: Annotated[bool, typer.Option("--no-c", help="Write no model.c.")] = False,
    pt2: Annotated[
        bool, typer.Option("--pt2", help="Write model.pt2 as well, for torch.export: some seconds more.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Verify at few sizes only, for a first look at a large model.")
    ] = False,
    debug: Debug = False,
    as_json: Json = False,
) -> None:
    """Export a module as a bundle: TorchScript, ONNX and C, dynamic in time and batch, verified."""
    with reporting(debug=debug):
        with progress() as report_progress:
            report_progress("Loading PyTorch", 0, 1)
            from rnn_export.cli.target import axes_of, load_target, named_options  # noqa: PLC0415
            from rnn_export.exporter import export  # noqa: PLC0415 (takes seconds, after the usage is checked)
            from rnn_export.report.page import README, REPORT  # noqa: PLC0415

            model, args, kwargs = load_target(target, shape, checkpoint)
            bundle = export(
                model,
                args,
                folder,
                kwargs=kwargs,
                axes={name: axes_of(each) for name, each in named_options("--axes", axes)},
                roles=dict(named_options("--role", role)),
                batch_first=batch_first,
                step=step,
                lengths=lengths,
                name=name,
                overwrite=overwrite,
                require=",".join(require or ()),
                opset=opset,
                weights=weights,
                c=not no_c,
                pt2=pt2,
                quick=quick,
                progress=report_progress,
            )
        report = VerificationReport.stored(bundle.manifest)
        show(report, folder, as_json=as_json)
        if not as_json:
            read = f"to read: {folder / README}, {folder / REPORT}"
            fastest = f"which file is the fastest: rnn-export bench {shlex.quote(str(folder))}"
            line("[dim]" + escape(f"{fastest}; {read}"))


@command(app, "sign")
def sign_command(
    folder: Folder,
    key: Annotated[
        Path,
        typer.Option("--key", metavar="KEY.pem", help="An elliptic private key.", show_default=False),
    ],
    signature: Signature = None,
) -> None:
    """Sign a bundle, so that others can check whose it is: writes DIR.sig beside it."""
    with reporting():
        line(f"[green]Written:[/] {escape(str(signing.sign(folder, key, signature)))}")


@command(app, "verify")
def verify_command(
    folder: Folder,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC.pem", help="Check first that its owner signed the bundle."),
    ] = None,
    signature: Signature = None,
    require: Require = None,
    debug: Debug = False,
    as_json: Json = False,
) -> None:
    """Check a bundle from its folder alone: hashes, then every file in every runtime that is installed."""
    if signature and not key:
        raise typer.BadParameter("expected --key PUBLIC.pem with --signature, got none")
    with reporting(debug=debug):
        if key:
            signing.check(folder, key, signature)
        with progress() as report_progress:
            report = verify(folder, progress=report_progress, require=",".join(require or ()))
        show(report, folder, as_json=as_json)
        if not report.passed:
            raise typer.Exit(1)


@command(app, "inspect")
def inspect_command(
    folder: Folder,
    passes: Annotated[
        bool, typer.Option("--passes", help="Show what each pass over the traced step did.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a bundle holds: the call, the files, the versions, the measured errors."""
    with reporting():
        bundle = Bundle.open(folder)
        manifest = bundle.manifest
        if as_json:
            out.print_json(manifest.to_json())
            return
        out.print(f"[bold]{escape(manifest.name)}[/]  {escape(manifest.model['class'])}", highlight=False)
        if passes:
            out.print(pass_table(bundle) if manifest.passes else "No pass was run: the step was not traced.")
            return
        out.print(call_table(bundle))
        line(escape(f"{MODEL_ONNX}: {chosen_form(manifest)}"))
        out.print(file_table(bundle))
        for text in weights_text(manifest.weights):
            line(escape(text))
        report = VerificationReport.stored(manifest)
        out.print(check_table(report))
        for reason in report.left_out:
            line(f"[yellow]left out:[/] {escape(reason)}")
        tools = ", ".join(f"{tool} {version}" for tool, version in manifest.versions.items())
        out.print("[dim]" + escape(tools))


@command(app, "optimize")
def optimize_command(
    file: Annotated[
        Path, typer.Argument(metavar="IN.onnx", help="An ONNX file with loops.", show_default=False)
    ],
    result: Annotated[
        Path, typer.Option("--out", metavar="OUT.onnx", help="Where the result goes.", show_default=False)
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    opset: Annotated[
        int | None,
        typer.Option(help="The opset of the result.", show_default="that of IN.onnx"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to time both files; 0 not to.")] = 1.0,
    debug: Debug = False,
    as_json: Json = False,
) -> None:
    """Rewrite the loops of an ONNX file made by others: proven to give the same, and faster."""
    with reporting(debug=debug):
        with progress() as report_progress:
            report_progress("Rewriting the loops", 0, 1)
            from rnn_export.optimizer import optimize  # noqa: PLC0415 (takes a second)

            done = optimize(file, result, overwrite=overwrite, opset=opset, seconds=seconds)
        if as_json:
            out.print_json(json.dumps({"file": str(result), **done.to_json()}))
            return
        for text in done.lines():
            line(escape(text))
        unchanged = "" if done.form else f", the same model as {file}"
        line(f"[green]Written:[/] {escape(f'{result}{unchanged}')}")


@command(app, "bench")
def bench_command(
    folder: Folder,
    shape: Annotated[
        list[str] | None,
        typer.Option(metavar="T,B", help="Time steps and batch, as 100,2; may be said several times."),
    ] = None,
    eager: Eager = None,
    checkpoint: Checkpoint = None,
    seconds: Annotated[float, typer.Option(help="How long to time one shape.")] = SECONDS,
    as_json: Json = False,
) -> None:
    """Time every file of a bundle in every runtime that is installed, on one core."""
    shapes = [shape_of(text) for text in shape or ()]
    with reporting():
        with progress() as report_progress, bench.one_core():
            module = load_model(eager, checkpoint)
            benchmark = bench.bench(folder, shapes, seconds=seconds, eager=module, progress=report_progress)
        if as_json:
            out.print_json(json.dumps({"folder": str(folder), **benchmark.to_json()}))
            return
        out.print(bench.table(benchmark))
        for row in benchmark.rows:
            if row.note:
                line(escape(f"{row.file} in {row.runtime}: {row.note}"))
        for faster in benchmark.other_forms:
            line(f"[yellow]another form is faster:[/] {escape(faster)}")
        compared = f"x: how many times as fast as {benchmark.compared_with}"
        line(f"[dim]Microseconds a call on one core, medians; {compared}")
        if module is None:
            command = f"rnn-export bench {shlex.quote(str(folder))} --eager FILE.py:FACTORY"
            line(f"[dim]How much faster than PyTorch: {escape(command)}")


@command(app, "report")
def report_command(
    folder: Folder,
    show_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    measure: Annotated[bool, typer.Option("--measure", help="Measure again how long a call takes.")] = False,
    result: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the page there, and leave the bundle as it is."),
    ] = None,
    eager: Eager = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Make the page that shows a bundle, report.html, with how long its calls take on this machine."""
    with reporting():
        with progress() as report_progress:
            report_progress("Reading the bundle", 0, 1)
            from rnn_export.report.latency import make_report  # noqa: PLC0415 (takes a second)

            module = load_model(eager, checkpoint)
            page = make_report(folder, measure=measure, out=result, eager=module, progress=report_progress)
        line(f"[green]Written:[/] {escape(str(page))}")
        if show_it and not webbrowser.open(page.resolve().as_uri()):
            line("[yellow]warning:[/] no browser was found: open the page in one yourself")


for name, function in {**SHIPPING, **SCORING}.items():
    command(app, name)(function)
