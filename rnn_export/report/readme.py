"""Write ``README.md``: what somebody who gets the folder of a bundle, and nothing else, wants to know."""

import re
import shlex
from functools import cache

import jinja2

from rnn_export.bundle.bundle import Bundle
from rnn_export.report.calls import scaffolds, snippets
from rnn_export.report.page import TEMPLATES, file_rows, initial
from rnn_export.verification.verify import VerificationReport


def render_readme(bundle: Bundle) -> str:
    """Write the text of a bundle; the same bundle gives the same bytes."""
    return (
        _environment()
        .get_template("README.md.jinja")
        .render(
            manifest=bundle.manifest,
            signature=bundle.signature,
            report=VerificationReport.stored(bundle.manifest),
            files=file_rows(bundle),
            snippets=snippets(bundle),
            scaffolds=scaffolds(bundle),
            folder=shlex.quote(bundle.manifest.name),
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 (Markdown, not HTML; names go through the filters)
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "code": code, "initial": initial}
    return environment


def plain(text: str) -> str:
    """Write text of others in Markdown as nothing but text, on one line.

    >>> print(plain("a_b <script>[x](y)"))
    a\\_b \\<script\\>\\[x\\](y)
    """
    return re.sub(r"([\\`*_\[\]<>|&~#!])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Write text of others between the two backticks of code, which it cannot end.

    >>> code("a`b|c")
    "a'b/c"
    """
    return " ".join(text.split()).replace("`", "'").replace("|", "/")
