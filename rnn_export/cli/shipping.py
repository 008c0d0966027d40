"""The commands for who embeds a bundle: libraries of its C, and programs around it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from rnn_export.cli.options import Folder, March
from rnn_export.cli.terminal import escape, line, progress, reporting, show_shipped
from rnn_export.runtimes import compiler
from rnn_export.runtimes.load import ship
from rnn_export.scaffolding.hosts import HOSTS
from rnn_export.scaffolding.scaffold import scaffold
from rnn_export.verification.wasm import ship_wasm


def compile_command(
    folder: Folder,
    result: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the library goes.", show_default=False)
    ],
    shared: Annotated[
        bool, typer.Option("--shared", help="A shared library, unless another is named.")
    ] = False,
    static: Annotated[bool, typer.Option("--static", help="A static library.")] = False,
    as_object: Annotated[bool, typer.Option("--object", help="An object file.")] = False,
    as_wasm: Annotated[
        bool, typer.Option("--wasm", help="WebAssembly, in one file that needs no header.")
    ] = False,
    as_aoti: Annotated[
        bool,
        typer.Option("--aoti", help="A package of AOTInductor, of model.pt2: for PyTorch. Takes a minute."),
    ] = False,
    march: March = "",
) -> None:
    """Compile a bundle's model.c to a library to ship, with its header; or its model.pt2 for PyTorch."""
    flags = {"shared": shared, "static": static, "object": as_object, "wasm": as_wasm, "aoti": as_aoti}
    kinds = [kind for kind, wanted in flags.items() if wanted]
    if len(kinds) > 1:
        *others, last = (f"--{kind}" for kind in flags)
        raise typer.BadParameter(f"expected one of {', '.join(others)} and {last}, got {len(kinds)}")
    if march and (as_wasm or as_aoti):
        why = "WebAssembly has one" if as_wasm else "PyTorch compiles for this processor"
        raise typer.BadParameter(f"expected no --march beside --{kinds[0]}, got {march}: {why}")
    with reporting():
        if as_wasm:
            show_shipped(*ship_wasm(folder, result))
            line("[dim]Use it: rnn-export scaffold DIR --host wasm --out my_page")
            return
        if as_aoti:
            with progress() as report_progress:
                report_progress("Compiling: a minute or two", 0, 1)
                from rnn_export.verification.aoti import ship_aoti  # noqa: PLC0415 (takes seconds)

                package, check = ship_aoti(folder, result)
            show_shipped(package, check)
            line("[dim]" + escape(f'Use it: torch._inductor.aoti_load_package("{package}")(inputs, state)'))
            return
        library = ship(folder, result, "".join(kinds) or "shared", march)
        line(f"[green]Written:[/] {escape(str(library))}, {escape(str(result / 'model.h'))}")
        linked = library if as_object or static else f"-L{result} -l{library.stem.removeprefix('lib')}"
        line("[dim]" + escape(f"Use it: cc yours.c -I{result} {linked}"))


def cache_command(
    clear: Annotated[bool, typer.Option("--clear", help="Remove them.")] = False,
) -> None:
    """Show where the libraries lie that were built of model.c to run it here, and how much they take."""
    with reporting():
        folder = compiler.cache()
        built = compiler.forget(folder, 0) if clear else compiler.libraries(folder)
        size = "" if clear else f", {sum(compiler.libraries(folder).values()):,} bytes"
        many = f"{len(built)} librar{'y' if len(built) == 1 else 'ies'}{size}"
        line(f"{escape(str(folder))}: {'removed ' if clear else ''}{many}")
        if not clear:
            line(f"[dim]At most {compiler.MOST:,} bytes are kept, those that were used last.")


def scaffold_command(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="The folders of the bundles.", show_default=False)
    ],
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help=f"One of {', '.join(HOSTS)}.", show_default=False)
    ],
    result: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the program goes.", show_default=False)
    ],
) -> None:
    """Write a program in another language that runs bundles, and checks itself: a folder to start from."""
    with reporting():
        scaffold(folders, host, result)
        line(f"[green]Written:[/] {escape(str(result))}")
        build, check, about = (result / name for name in ("build.sh", "ci.sh", "README.md"))
        line("[dim]" + escape(f"Build it: {build}; check its numbers: {check}; how it is used: {about}"))


SHIPPING: Mapping[str, Callable[..., None]] = {
    "compile": compile_command,
    "cache": cache_command,
    "scaffold": scaffold_command,
}
