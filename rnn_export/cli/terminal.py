"""What the commands print: tables, one line an error, a bar while something is being done."""

import codecs
import io
import json
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import expm1
from pathlib import Path

import typer
from rich import box, markup
from rich.console import Console
from rich.table import Table

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.golden import Dynamics
from rnn_export.bundle.layout import NOT_ASKED
from rnn_export.bundle.untrusted.json_text import CONTROL
from rnn_export.errors import RnnExportError
from rnn_export.progress import ProgressCallback, bar
from rnn_export.signature.signature import CALL_HEADING
from rnn_export.verification.compare import FAILED, NOT_CHECKED, PASSED, Check, Tokens
from rnn_export.verification.verdict import left_out_word, passing
from rnn_export.verification.verify import HEADING, VerificationReport
from rnn_export.workers import CRASHED

out = Console(emoji=False)
err = Console(stderr=True, emoji=False)

MARKS = {PASSED: "[green]✓ passed", NOT_CHECKED: "[yellow]- not checked"}
FAILED_MARK = "[bold red]✗ failed"
DETAILS = {NOT_CHECKED: "[yellow]not checked:[/] ", FAILED: "[bold red]failed:[/] "}


# What a terminal that cannot write a character is given instead.
PLAIN = {"✓": "+", "✗": "x", "→": "->", "…": "...", "•": "*"}
PLAIN |= {"\N{EN DASH}": "-", "\N{MULTIPLICATION SIGN}": "x", "\N{RIGHT SINGLE QUOTATION MARK}": "'"}


def in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Write characters that an encoding does not have in others that it has.

    >>> codecs.register_error("plain", in_plain_characters)
    >>> print("✓ passed, MatMul: 3→2, é".encode("ascii", "plain").decode())
    + passed, MatMul: 3->2, \\xe9
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    plain = (PLAIN.get(letter, letter.encode("ascii", "backslashreplace").decode()) for letter in letters)
    return "".join(plain), error.end


def write_anything() -> None:
    """Let standard output and error take any text, whatever their encoding."""
    codecs.register_error("plain", in_plain_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def escape(text: str) -> str:
    """Give markup for a text of others: none of it is markup, or a command to the terminal."""
    return markup.escape(CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))


@contextmanager
def reporting(*, debug: bool = False) -> Iterator[None]:
    """Turn our own errors into one message and status 1, and warnings into lines of their own.

    What failed in the user's own code is shown from there on; in ``debug`` all is, as Python shows it.
    """

    def show(message: Warning | str, *_: object, **__: object) -> None:
        err.print(f"[yellow]warning:[/] {escape(str(message))}", highlight=False, soft_wrap=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        except RnnExportError as error:
            trace = "".join(traceback.format_exception(error)) if debug else getattr(error, "shown", "")
            if trace:
                err.print(f"[dim]{escape(trace)}", highlight=False, soft_wrap=True)
            err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error


@contextmanager
def progress() -> Iterator[ProgressCallback]:
    """Show what is being done, on standard error, gone when it is done."""
    with bar(err) as report:
        yield report


def show(report: VerificationReport, folder: Path, *, as_json: bool = False) -> None:
    """Print what was checked: a table, or JSON."""
    if as_json:
        about = {"folder": str(folder), "name": report.name, "verdict": report.verdict}
        out.print_json(json.dumps({**about, **report.to_json()}))
        return
    out.print(check_table(report))
    for check in report.checks:
        if check.detail:
            line(DETAILS.get(check.verdict, "") + escape(f"{check.file} in {check.runtime}: {check.detail}"))
    for reason in report.left_out:
        colour = "bold red" if CRASHED in reason else "dim" if reason.endswith(NOT_ASKED) else "yellow"
        line(f"[{colour}]{left_out_word(reason)}[/] {escape(reason.splitlines()[0])}")
    if any(not reason.endswith(NOT_ASKED) for reason in report.left_out):
        line(f"[yellow]More of what was left out:[/] rnn-export inspect {escape(shlex.quote(str(folder)))}")
    tokens = [check.tokens for check in report.checks if check.tokens]
    if tokens:
        line(f"[dim]{next_token(tokens)}")
    if report.dynamics and report.dynamics.horizon is not None:
        line(f"[yellow]rounding errors grow:[/] {growth(report.dynamics)}")
    modes = (
        f"whole sequences only: {report.not_streamable_because}"
        if report.not_streamable_because
        else "whole, cut, and step by step"
    )
    line("[dim]" + escape(f"T in {report.grid['time']} x B in {report.grid['batch']}, {modes}"))
    complete = {check.file for check in report.checks} == {*passing(report.checks)}
    colour = "bold red" if not report.passed else "green" if complete else "yellow"
    line(f"{escape(str(folder))}: [{colour}]{escape(report.verdict)}")


def show_shipped(file: Path, check: Check) -> None:
    """Show what was built of a bundle, and how it compares with eager PyTorch."""
    line(f"[green]Written:[/] {escape(str(file))}, {file.stat().st_size:,} bytes")
    if check.worst is None:
        line(f"{DETAILS[NOT_CHECKED]}{escape(check.detail)}. Run: pip install {check.runtime}")
    else:
        count, share = check.worst.cases, f"{check.worst.share:.0%}"
        line(f"{MARKS[PASSED]}[/] in {check.runtime}: {count} calls, worst error {share} of what is allowed")


def growth(dynamics: Dynamics) -> str:
    """Say for how long implementations of a net that amplifies rounding errors agree.

    >>> growth(Dynamics(0.1, 1e-7, 64, 0.01, 92))
    'by 10.5% a time step; for 92 time steps implementations agree to 1%, longer runs are not comparable'
    """
    return (
        f"by {expm1(dynamics.exponent):.1%} a time step; for {dynamics.horizon:,} time steps implementations "
        f"agree to {dynamics.agreement:.0%}, longer runs are not comparable"
    )


def next_token(tokens: Sequence[Tokens]) -> str:
    """Say what the worst file makes of the next token.

    >>> next_token([Tokens(1.0, 2e-7, 5000), Tokens(0.9998, 3e-6, 5000)])
    "the next token: at least 99.98% as eager's, of 5,000; log-probabilities within 3.0e-06"
    """
    least, furthest = min(one.agreement for one in tokens), max(one.log_probability for one in tokens)
    places = min(one.places for one in tokens)
    return (
        f"the next token: at least {least:.2%} as eager's, of {places:,}; "
        f"log-probabilities within {furthest:.1e}"
    )


def line(marked: str) -> None:
    """Print one line of markup, however long."""
    out.print(marked, highlight=False, soft_wrap=True)


def check_table(report: VerificationReport) -> Table:
    """Show what each runtime made of each file."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in HEADING[:2]:  # where the terminal is narrow these are broken, and no number is cut
        table.add_column(heading, overflow="fold")
    for heading in HEADING[2:5]:
        table.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    table.add_column(HEADING[5], no_wrap=True)
    for check, row in zip(report.checks, report.rows, strict=True):
        table.add_row(*map(escape, row[:5]), MARKS.get(check.verdict, FAILED_MARK))
    return table


def call_table(bundle: Bundle) -> Table:
    """Show what goes into a call and what comes out."""
    table = Table(*CALL_HEADING, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in bundle.signature.described:
        table.add_row(*map(escape, row))
    return table


def pass_table(bundle: Bundle) -> Table:
    """Show the passes that changed something: operators before and after, those in loops as well."""
    table = Table("Pass", "Operators, before→after", "Form", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, changed, form in bundle.manifest.changes():
        first = not table.rows
        counts = (
            f"{operator}:{after}" if first else f"{operator}:{before}→{after}"
            for operator, (before, after) in changed.items()
        )
        table.add_row(escape(name), escape(", ".join(counts)), escape(form))
    return table


def file_table(bundle: Bundle) -> Table:
    """Show the files with their sizes and hashes."""
    table = Table("File", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Bytes", justify="right")
    table.add_column("sha256")
    for file, facts in bundle.manifest.files.items():
        table.add_row(escape(file), f"{facts['bytes']:,}", facts["sha256"][:16])
    return table
