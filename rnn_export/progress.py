"""How a long call reports its progress: on a terminal, in a notebook, or to a function of the caller's."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import Any

# Called with what is being done, how many parts of it are done, and of how many.
ProgressCallback = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Watch:
    """Where progress goes, and the lines that are said at the end."""

    report: ProgressCallback
    say: Callable[[Sequence[str]], None] = lambda lines: None


SILENT = Watch(silent)


@contextmanager
def watched(progress: ProgressCallback | bool | None) -> Iterator[Watch]:
    """Report to a function; without one to the terminal, or the notebook, that somebody looks at.

    Args:
        progress: the function. ``False`` is silence; so is a standard error that is no terminal.
    """
    if callable(progress):
        yield Watch(progress)
    elif progress is False:
        yield SILENT
    else:
        own = console()
        if own.is_jupyter:
            yield _in_notebook()
        elif own.is_terminal:
            with bar(own) as report:
                said: list[str] = []
                yield Watch(report, said.extend)
            for line in said:  # behind the bar, which is gone
                own.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            yield SILENT


def console() -> Any:
    """Give the console of standard error, in which no text is an emoji."""
    from rich.console import Console  # noqa: PLC0415 (a service that loads a bundle does without)

    return Console(stderr=True, emoji=False)


@contextmanager
def bar(own: Any) -> Iterator[ProgressCallback]:
    """Show a bar on a terminal, gone when it is done; ``sys.stdout`` and ``sys.stderr`` stay as they are.

    A log is no terminal, even where its colours are asked for.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns,
        console=own,
        transient=True,
        disable=not (own.is_terminal and own.file.isatty()),
        redirect_stdout=False,
        redirect_stderr=False,
    ) as shown:
        task = shown.add_task("", total=None)

        def report(stage: str, done: int, total: int) -> None:
            shown.update(task, description=stage, completed=done, total=total)

        yield report


def _in_notebook() -> Watch:
    """Show one output that changes, which needs no widgets."""
    display = import_module("IPython.display").display
    handles: list[Any] = []

    def show(plain: str, html: str) -> None:
        data = {"text/plain": plain, "text/html": html}
        if handles:
            handles[0].update(data, raw=True)
        else:
            handles.append(display(data, raw=True, display_id=True))

    def report(stage: str, done: int, total: int) -> None:
        show(
            f"{stage} {done}/{total}",
            f'<progress value="{done}" max="{total}"></progress> {escape(stage)}',
        )

    def say(lines: Sequence[str]) -> None:
        show("\n".join(lines), "<br>".join(map(escape, lines)))

    return Watch(report, say)
