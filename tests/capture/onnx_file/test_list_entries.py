"""Lists whose entries are known are tensors; what is read at a place that is not known stays a list."""

import numpy as np
import onnx_ir as ir
import pytest

from rnn_export.capture.onnx_file.list_entries import resolve
from rnn_export.program.program import Program
from tests.support import loops

NUMBERS = """
    minus_one = Constant <value = int64 {-1}> () minus_two = Constant <value = int64 {-2}> ()
    two = Constant <value = int64 {2}> () a = Neg (h) b = Tanh (h) c = Exp (h)
"""
ALL = "y = Identity (x) last = ConcatFromSequence <axis = 1> (l)"
LISTS = {
    "as it is made": f"l = SequenceConstruct (a, b, c) {ALL}",
    "a new axis": "l = SequenceConstruct (a, b) last = SequenceAt (l, zero) "
    "y = ConcatFromSequence <axis = 0, new_axis = 1> (l)",
    "a new axis behind": "l = SequenceConstruct (a, b) last = SequenceAt (l, zero) "
    "z = ConcatFromSequence <axis = -1, new_axis = 1> (l) y = Transpose <perm = [2, 0, 1]> (z)",
    "put behind": f"k = SequenceConstruct (a, b) l = SequenceInsert (k, c) {ALL}",
    "put in front": f"k = SequenceConstruct (a, b) l = SequenceInsert (k, c, zero) {ALL}",
    "put before the last": f"k = SequenceConstruct (a, b) l = SequenceInsert (k, c, minus_one) {ALL}",
    "put at its end by number": f"k = SequenceConstruct (a, b) l = SequenceInsert (k, c, two) {ALL}",
    "begun empty": "e = SequenceEmpty () k = SequenceInsert (e, a) "
    f"l = SequenceInsert (k, b, minus_one) {ALL}",
    "erased": f"k = SequenceConstruct (a, b, c) l = SequenceErase (k, one) {ALL}",
    "erased from the end": f"k = SequenceConstruct (a, b, c) l = SequenceErase (k, minus_two) {ALL}",
    "the last erased": f"k = SequenceConstruct (a, b, c) l = SequenceErase (k) {ALL}",
    "a copy": f"k = SequenceConstruct (a, b) l = Identity (k) {ALL}",
    "from its end": "l = SequenceConstruct (a, b, c) last = SequenceAt (l, minus_two) y = Identity (x)",
    "its length": "l = SequenceConstruct (a, b, c) n = SequenceLength (l) m = Cast <to = 1> (n) "
    "last = Mul (h, m) y = Identity (x)",
}
STAY = {
    "a place that is given": "size = Shape (h) n = Size (size) m = Sub (n, one) "
    "l = SequenceConstruct (a, b) last = SequenceAt (l, m) y = Identity (x)",
    "erased somewhere": "size = Shape (h) n = Size (size) m = Sub (n, one) k = SequenceConstruct (a, b, c) "
    f"l = SequenceErase (k, m) {ALL}",
}
CALL = "net (float[T,B,3] x, float[B,3] h) => (float[N,B,3] y, float[B,W] last)"


def read(text: str) -> tuple[Program, Program, set[str]]:
    """Give a Program, the same without the lists that are known, and its operators."""
    given = Program(ir.from_proto(loops.model(NUMBERS + text, CALL)))
    made = given.copy()
    resolve(made.model.graph)
    return given, made, {node.op_type for node in made.model.graph}


@pytest.mark.parametrize("name", [*LISTS, *STAY])
def test_lists_whose_entries_are_known_are_tensors(name: str) -> None:
    given, made, operators = read((LISTS | STAY)[name])
    assert any("Sequence" in operator for operator in operators) == (name in STAY)
    feeds = given.sample(2, 3)
    before, after = given.run(feeds), made.run(feeds)
    for output, value in before.items():
        np.testing.assert_array_equal(after[output], value)


def test_a_place_outside_of_a_list_fails_as_it_did() -> None:
    _, made, operators = read("l = SequenceConstruct (a, b) last = SequenceAt (l, two) y = Identity (x)")
    assert "SequenceAt" in operators
    with pytest.raises(Exception, match="Invalid sequence index"):
        made.run(made.sample(2, 3))
