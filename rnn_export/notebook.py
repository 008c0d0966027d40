"""What a notebook shows of an object: a table, in which what others wrote is text."""

from collections.abc import Iterable, Sequence
from html import escape


def table(caption: str, heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table.

    >>> table("a < b", ["one"], [["<i>"]])
    '<p>a &lt; b</p><table><tr><th>one</th></tr><tr><td>&lt;i&gt;</td></tr></table>'
    """
    lines = [_row("th", heading), *(_row("td", row) for row in rows)]
    return f"<p>{escape(caption)}</p><table>{''.join(lines)}</table>"


def _row(cell: str, texts: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{cell}>{escape(text)}</{cell}>' for text in texts)}</tr>"
