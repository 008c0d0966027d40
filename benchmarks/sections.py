"""Sections of BENCHMARKS.md that have a command of their own, behind what ``make bench`` writes."""

import re
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "BENCHMARKS.md"
MARK = "<!-- Each section below names the command that wrote it. -->\n"


def kept(text: str) -> str:
    """Give the sections of a document that others have written.

    >>> kept("# Benchmarks\\n\\nold\\n\\n" + MARK + "\\n## Other\\n")[-10:]
    '\\n## Other\\n'
    """
    _, mark, rest = text.partition(MARK)
    return f"\n{mark}{rest}" if mark else ""


def replaced(text: str, heading: str, body: str) -> str:
    """Put a section in the place of the one with its heading, or behind all others.

    >>> document = replaced("# Benchmarks\\n", "Other", "one")
    >>> print(replaced(document, "Other", "two").replace(MARK, "(mark)"))
    # Benchmarks
    <BLANKLINE>
    (mark)
    ## Other
    <BLANKLINE>
    two
    <BLANKLINE>
    """
    text = text if MARK in text else f"{text}\n{MARK}"
    section = f"\n## {heading}\n\n{body.strip()}\n"
    before, mark, own = text.partition(MARK)
    found = re.search(rf"\n## {re.escape(heading)}\n.*?(?=\n## |\Z)", own, re.DOTALL)
    own = own[: found.start()] + section + own[found.end() :] if found else own + section
    return before + mark + own
