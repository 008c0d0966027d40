"""What a docstring says in reStructuredText, as the Markdown that the API reference is made of."""

import re
from typing import Any

import griffe
from latex2mathml import converter

ROLE = re.compile(r":\w+:`~?([\w.]+)`")
MATH = re.compile(r"^\.\. math::\n((?:[ \t]+.*\n?|\n)+)", re.MULTILINE)


def markdown(text: str) -> str:
    """Turn references into code, and equations into MathML, which browsers draw by themselves."""
    return MATH.sub(_equation, ROLE.sub(r"`\1`", text))


def _equation(block: re.Match[str]) -> str:
    equation = converter.convert(rf"\begin{{align*}}{block[1].strip()}\end{{align*}}", display="block")
    styled = re.sub(r'columnalign="(\w+)"', r'style="text-align: \1"', equation)  # what browsers know
    return f"\n{styled}\n\n"


class Docstrings(griffe.Extension):
    """Rewrites every docstring that is read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite a docstring."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
