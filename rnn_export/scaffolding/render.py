"""Write a file of an example from its template."""

import json
from pathlib import Path
from typing import Any

import jinja2

from rnn_export.scaffolding.hosts import C_TYPES

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **names: Any) -> str:
    """Write the text of a template, ``README.md`` of ``README.md.jinja``, say."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(  # noqa: S701 (source code, not HTML)
        loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.globals |= {"c_types": C_TYPES}
    environment.filters |= {"c_string": c_string, "rust_string": rust_string, "go_string": go_string}
    return environment.get_template(f"{template}.jinja").render(**names)


def c_string(text: str) -> str:
    r"""Write a string literal of C.

    >>> print(c_string('a"\n?é'))
    "a\"\012?\303\251"
    """
    return '"' + "".join(_c_byte(byte) for byte in text.encode()) + '"'


def _c_byte(byte: int) -> str:
    if byte in b'"\\':
        return f"\\{byte:c}"
    return f"{byte:c}" if 32 <= byte < 127 else f"\\{byte:03o}"


def rust_string(text: str) -> str:
    r"""Write a string literal of Rust.

    >>> print(rust_string('a"\n?é'))
    "a\"\u{a}?é"
    """
    special = {'"': '\\"', "\\": "\\\\"}
    return (
        '"' + "".join(special.get(c) or (c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in text) + '"'
    )


def go_string(text: str) -> str:
    r"""Write a string literal of Go, which reads JSON's.

    >>> print(go_string('a"\n?é'))
    "a\"\n?é"
    """
    return json.dumps(text, ensure_ascii=False)
