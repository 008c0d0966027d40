"""A loop over no time steps stands in a branch of its own, which holds what it reads and nothing else."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from rnn_export.passes.time.no_steps import no_steps
from rnn_export.program.program import Program

BODIES = {
    "a state alone": "net (float[T,3] x, float[3] h) => (float[3] last) { last = Scan <num_scan_inputs = 1, "
    "body = step (float[3] h_s, float[3] x_t) => (float[3] h_t) { h_t = Add (h_s, x_t) }> (h, x) }",
    "outputs as well": "net (float[T,3] x, float[3] h) => (float[3] last, float[T,3] y) { last, y = Scan "
    "<num_scan_inputs = 1, body = step (float[3] h_s, float[3] x_t) => (float[3] h_t, float[3] y_t) "
    "{ h_t = Add (h_s, x_t) y_t = Neg (h_t) }> (h, x) }",
}


@pytest.mark.parametrize("name", BODIES)
def test_no_constant_is_left_that_nothing_reads(name: str) -> None:
    """ONNX Runtime says so to everybody who loads the file."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {BODIES[name]}')
    program = no_steps(Program(ir.from_proto(model)))
    assert all(value.uses() for value in program.model.graph.initializers.values())
    h = np.ones(3, np.float32)
    for steps in (0, 4):
        results = program.run({"x": np.ones((steps, 3), np.float32), "h": h})
        np.testing.assert_array_equal(results["last"], h + steps)
