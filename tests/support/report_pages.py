"""What the tests of the report share: a page taken apart, and errors over time that nobody measured."""

import math
import subprocess
from collections import defaultdict
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.golden import Dynamics
from rnn_export.report.calls import snippets
from rnn_export.report.page import REPORT
from rnn_export.verification.compare import Curve, Tokens
from rnn_export.verification.verify import VerificationReport

TIME = (1, 2, 5, 10, 20)
COMPILERS = {"call.rs": "rustc", "call.go": "go", "Call.java": "javac"}  # of programs that run model.c
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """A page taken apart: tags with their attributes, text by the section it stands in, programs by file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = defaultdict(str)
        self.programs: dict[str, str] = defaultdict(str)
        self.inline: dict[str, str] = defaultdict(str)
        self.open: list[str] = []
        self.section, self.program = "", ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = found["aria-labelledby"]
        if tag == "pre":
            self.program = found["data-file"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "section":
            self.section = ""
        if tag == "pre":
            self.program = ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.inline[self.open[-1]] += data
        elif self.program:
            self.programs[self.program] += data
        else:
            self.text[self.section] += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """Find tags that have some words in some attributes."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            found
            for name, found in self.tags
            if name == tag and all(value in (found.get(key) or "").split() for key, value in wanted.items())
        ]


def with_curves(
    report: VerificationReport, horizon: int | None, *, tokens: bool = False
) -> VerificationReport:
    """Add to a report what a bundle does not hold by itself: made up, and the same for every file."""
    eager = tuple(1e-8 * math.exp(step / 3) for step in TIME)
    errors = (*(2 * value for value in eager[:-2]), None, 0.0)
    said = Tokens(0.9987, 3e-5, 1000) if tokens else None
    return replace(
        report,
        checks=tuple(replace(check, curve=errors, tokens=said) for check in report.checks),
        curve=Curve(TIME, eager, tuple(4 * value for value in eager)),
        dynamics=Dynamics(0.3 if horizon else -0.2, 1e-7, 32, 1e-2, horizon),
    )


def page_of(bundle: Bundle) -> Page:
    return Page((bundle.folder / REPORT).read_text(encoding="utf-8"))


def built_and_run(bundle: Bundle, file: str, folder: Path) -> list[str]:
    """Build and run one of ``COMPILERS``' programs as the page says, beside the bundle."""
    [shown] = [snippet for snippet in snippets(bundle) if snippet.file == file]
    (folder / file).write_text(shown.code)
    line = shown.build.replace("jna.jar", "/usr/share/java/jna.jar")
    done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
