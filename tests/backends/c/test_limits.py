"""The operators that C does not take are listed in docs/limits.md by name: those are all."""

import re
from textwrap import fill

import onnx.defs

from rnn_export.backends.c.trace.composed import RULES
from rnn_export.backends.c.trace.trace import MOVES, SIZES
from rnn_export.program.operator_facts import RECURRENT
from rnn_export.program.program import OPSET
from tests.support.paths import ROOT

LIMITS = ROOT / "docs" / "limits.md"
LISTED = re.compile(r"<!-- operators that C does not take -->\n(.*?)\n\n", re.DOTALL)
TAKEN = {*RULES, *MOVES, *SIZES, *RECURRENT, "Scan"}
# those that read nothing: they are constants
SOURCES = {"Constant", "RandomNormal", "RandomUniform"}


def operators() -> set[str]:
    """Name the operators of the files."""
    schemas = [
        schema
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.domain == "" and schema.since_version <= OPSET
    ]
    newest = {schema.name: schema for schema in sorted(schemas, key=lambda schema: schema.since_version)}
    return {name for name, schema in newest.items() if not schema.deprecated}


def test_every_operator_that_c_does_not_take_is_listed() -> None:
    left = sorted(operators() - TAKEN - SOURCES)
    text = fill(
        ", ".join(f"`{name}`" for name in left) + ".", 118, initial_indent="  ", subsequent_indent="  "
    )
    [found] = LISTED.findall(LIMITS.read_text())
    assert found == text, f"expected in {LIMITS.name}:\n{text}"
