"""What an ``RNN``, ``GRU`` or ``LSTM`` is, written out: its equations in a ``Scan``, with its own weights.

Slower than the operator, and right where runtimes' operators are not: what is not finite stays so, and calls
without a time step or without a row are calls. To run for none as well, the loop runs one time step more than
there are, over zeros at its end, and what that gives is cut off::

    ps = Add (MatMul (Concat <axis = 0> (xs, 0), Transpose (W)), b_W)                 # ps: float[T+1,B,6]
    _, Hs, Os = Scan (H, ps) <body = step (H_s, p) => (H_t, H_t, H_s) {
        H_t = Tanh (Add (p, Add (MatMul (H_s, Transpose (R)), b_R))) }>
    Ys = Slice (Hs, 0, -1)  Y_h = Gather (Os, -1)                # what the state was before the last step

Part of :mod:`rnn_export.passes.operators.guard`.

Source: the operators' equations, https://onnx.ai/onnx/operators (opset 14).
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import RECURRENT, RECURRENT_INPUTS, int_of, text_of
from rnn_export.program.scan import Scan

ACTIVATIONS = frozenset({"Relu", "Sigmoid", "Tanh"})
KEPT = frozenset({"activations", "direction", "hidden_size", "linear_before_reset"})  # no clip, no layout
START = -(1 << 31)  # what a Slice with step -1 ends at to reach the first entry
Gates = dict[str, ir.Value]


def is_written_out(node: ir.Node) -> bool:
    """Whether the equations of an operator are known here."""
    if node.op_type not in RECURRENT or node.domain or set(node.attributes) - KEPT:
        return False
    peepholes = dict(zip(RECURRENT_INPUTS, node.inputs, strict=False)).get("P")
    known = all(value is not None and value.shape is not None for value in node.inputs[:3])
    return known and peepholes is None and set(_activations(node)) <= ACTIVATIONS


def _activations(node: ir.Node) -> Sequence[str]:
    """Give the activations of one direction after the other."""
    directions = 2 if text_of(node, "direction") == "bidirectional" else 1
    return node.attributes.get_strings("activations", RECURRENT[node.op_type].activations * directions)


class Definition:
    """An operator that is being written out, in nodes of ``build``; constants go to the outermost graph."""

    def __init__(self, main: ir.Graph, node: ir.Node) -> None:
        self.main, self.node, self.build = main, node, Builder()
        self.given = dict(zip(RECURRENT_INPUTS, node.inputs, strict=False))
        self.facts = RECURRENT[node.op_type]
        self.type = ir.TensorType(node.inputs[0].dtype or ir.DataType.FLOAT)  # type: ignore[union-attr]
        self.hidden = node.attributes["hidden_size"].as_int()
        self.lengths = self.given.get("sequence_lens")
        if self.lengths is not None:
            self.lengths = self.build.emit("Cast", [self.lengths], {"to": ir.DataType.INT64})

    def outputs(self) -> list[ir.Value]:
        """Write it out; give ``Y`` ``[T, D, B, H]``, and the final states, ``[D, B, H]``."""
        way = text_of(self.node, "direction")
        ways = [False, True] if way == "bidirectional" else [way == "reverse"]
        parts = [self._direction(number, backward) for number, backward in enumerate(ways)]
        joined = []
        for place, values in enumerate(zip(*parts, strict=True)):
            axis = 0 if place else 1
            wide = [self.build.emit("Unsqueeze", [value, self._numbers(axis)]) for value in values]
            joined.append(self.build.emit("Concat", wide, {"axis": axis}))
        return joined

    def _direction(self, number: int, backward: bool) -> list[ir.Value]:
        """Write one direction out; give the outputs ``[T, B, H]``, and the final states ``[B, H]``."""
        build, inputs = self.build, self.given["X"]
        assert inputs is not None
        read = self._turned(inputs) if backward else inputs
        rest = build.emit("Shape", [inputs], {"start": 1})
        step = build.emit("ConstantOfShape", [build.emit("Concat", [self._numbers(1), rest], {"axis": 0})])
        one_more = build.emit("Concat", [read, step], {"axis": 0})
        weights, recurrent = (self._matrix(name, number) for name in ("W", "R"))
        ps = build.emit("MatMul", [one_more, weights], type=self.type)
        bias = self._bias(number)
        if bias is not None:
            ps = build.emit("Add", [ps, bias[0]], type=self.type)
        starts = [self._start(name, number, inputs) for name in self.facts.states]
        sequences = [ps] if self.lengths is None else [ps, self._running(one_more)]
        body = self._body(number, recurrent, None if bias is None else bias[1])
        scan = Scan.build(body, starts, sequences)
        build.nodes.append(scan.node)
        outputs, *before = scan.results
        whole = build.emit("Slice", [outputs, self._numbers(0), self._numbers(-1), self._numbers(0)])
        last = self._constant(np.array(-1))
        finals = [build.emit("Gather", [states, last], {"axis": 0}) for states in before]
        return [self._turned(whole) if backward else whole, *finals]

    def _body(self, number: int, recurrent: ir.Value, bias: ir.Value | None) -> ir.Graph:
        """Write a step: next states, then the outputs and what the states were."""
        build, wide, names = Builder(), len(self.facts.gates) * self.hidden, self.facts.states
        states = {name: self._value(ir.Shape([None, self.hidden])) for name in names}
        p, runs = self._value(ir.Shape([None, wide])), ir.Value(name=None, shape=ir.Shape([None, 1]))
        runs.type = ir.TensorType(ir.DataType.BOOL)
        activations = _activations(self.node)
        count = len(self.facts.activations)
        own = [*activations[number * count : (number + 1) * count]]
        following = _STEPS[self.node.op_type](self, build, states, p, recurrent, bias, own)
        outputs = following["h"]
        if self.lengths is not None:
            zero = self._constant(np.zeros((), self._dtype))
            following = {k: build.emit("Where", [runs, v, states[k]]) for k, v in following.items()}
            outputs = build.emit("Where", [runs, outputs, zero])
        given = [*(following[name] for name in names), outputs, *states.values()]
        results = [build.emit("Identity", [value], type=self.type) for value in given]
        inputs = [*states.values(), p, *([] if self.lengths is None else [runs])]
        return ir.Graph(inputs, results, nodes=build.nodes, name="step")

    # --- what goes in -------------------------------------------------------------------------------------

    def _turned(self, sequence: ir.Value) -> ir.Value:
        """Turn time around, of each row up to its own end."""
        if self.lengths is not None:
            axes: dict[str, object] = {"time_axis": 0, "batch_axis": 1}
            return self.build.emit("ReverseSequence", [sequence, self.lengths], axes)
        places = map(self._numbers, (-1, START, 0, -1))
        return self.build.emit("Slice", [sequence, *places])

    def _running(self, one_more: ir.Value) -> ir.Value:
        """Say whether a row has not ended at a time step, ``[T + 1, B, 1]``."""
        build, axes = self.build, self._constant(np.array([0, 2]))
        steps = build.emit("Squeeze", [build.emit("Shape", [one_more], {"start": 0, "end": 1})])
        numbers = build.emit("Range", [self._constant(np.array(0)), steps, self._constant(np.array(1))])
        times = build.emit("Unsqueeze", [numbers, self._constant(np.array([1, 2]))])
        return build.emit("Less", [times, build.emit("Unsqueeze", [self.lengths, axes])])

    def _start(self, name: str, number: int, inputs: ir.Value) -> ir.Value:
        """Give an initial state of one direction, ``[B, H]``."""
        value = self.given.get(f"initial_{name}")
        if value is not None:
            return self._picked(value, number)
        rows = self.build.emit("Shape", [inputs], {"start": 1, "end": 2})
        sizes = self.build.emit("Concat", [rows, self._numbers(self.hidden)], {"axis": 0})
        return self.build.emit("ConstantOfShape", [sizes])

    def _matrix(self, name: str, number: int) -> ir.Value:
        """Give the weights of all gates side by side, ``[I, G H]``."""
        value = self.given[name]
        assert value is not None
        return self.build.emit("Transpose", [self._picked(value, number)], {"perm": [1, 0]})

    def _bias(self, number: int) -> Sequence[ir.Value] | None:
        """Give the biases of the inputs and those of the state, ``[G H]`` each."""
        value = self.given.get("B")
        if value is None:
            return None
        wide = self._constant(np.array([len(self.facts.gates) * self.hidden] * 2))
        return self.build.emit_several("Split", [self._picked(value, number), wide], {"axis": 0}, count=2)

    def _picked(self, value: ir.Value, number: int) -> ir.Value:
        return self.build.emit("Gather", [value, self._constant(np.array(number))], {"axis": 0})

    # --- equations ----------------------------------------------------------------------------------------

    def _rnn(
        self, build: Builder, s: Gates, p: ir.Value, R: ir.Value, b: ir.Value | None, f: Sequence[str]
    ) -> Gates:
        """``h' = f(p + h R + b)``."""
        return {"h": build.emit(f[0], [build.emit("Add", [p, self._affine(build, s["h"], R, b)])])}

    def _gru(
        self, build: Builder, s: Gates, p: ir.Value, R: ir.Value, b: ir.Value | None, f: Sequence[str]
    ) -> Gates:
        """``h' = (1 - z) n + z h``; in ``n``, the reset gate stands before or behind the product with R."""
        h, q = s["h"], self._cut(build, self._affine(build, s["h"], R, b))
        parts = self._cut(build, p)
        z, r = (build.emit(f[0], [build.emit("Add", [parts[name], q[name]])]) for name in "zr")
        if int_of(self.node, "linear_before_reset"):
            inner = build.emit("Mul", [r, q["h"]])
        else:
            matrix = self._cut(build, R)["h"]
            bias = None if b is None else self._cut(build, b)["h"]
            inner = self._affine(build, build.emit("Mul", [r, h]), matrix, bias)
        n = build.emit(f[1], [build.emit("Add", [parts["h"], inner])])
        share = build.emit("Sub", [self._constant(np.ones((), self._dtype)), z])
        new, kept = build.emit("Mul", [share, n]), build.emit("Mul", [z, h])
        return {"h": build.emit("Add", [new, kept])}

    def _lstm(
        self, build: Builder, s: Gates, p: ir.Value, R: ir.Value, b: ir.Value | None, f: Sequence[str]
    ) -> Gates:
        """``c' = f c + i g``, ``h' = o a(c')``; ONNX calls ``g`` by the name of the cell."""
        sums = self._cut(build, build.emit("Add", [p, self._affine(build, s["h"], R, b)]))
        i, o, forget = (build.emit(f[0], [sums[name]]) for name in "iof")
        candidate = build.emit(f[1], [sums["c"]])
        kept, new = build.emit("Mul", [forget, s["c"]]), build.emit("Mul", [i, candidate])
        c = build.emit("Add", [kept, new])
        return {"h": build.emit("Mul", [o, build.emit(f[2], [c])]), "c": c}

    def _affine(self, build: Builder, h: ir.Value, R: ir.Value, b: ir.Value | None) -> ir.Value:
        product = build.emit("MatMul", [h, R])
        return product if b is None else build.emit("Add", [product, b])

    def _cut(self, build: Builder, value: ir.Value) -> Gates:
        """Take what belongs to the gates apart."""
        names = self.facts.gates
        sizes = self._constant(np.array([self.hidden] * len(names)))
        parts = build.emit_several("Split", [value, sizes], {"axis": -1}, count=len(names))
        return dict(zip(names, parts, strict=True))

    # --- constants and values -----------------------------------------------------------------------------

    @property
    def _dtype(self) -> np.dtype:
        return self.type.dtype.numpy()

    def _value(self, shape: ir.Shape) -> ir.Value:
        return ir.Value(name=None, shape=shape, type=self.type)

    def _numbers(self, *numbers: int) -> ir.Value:
        return self._constant(np.array(numbers, np.int64))

    def _constant(self, array: np.ndarray) -> ir.Value:
        return add_constant(self.main, f"{self.node.op_type}/constant", array)


_STEPS = {"RNN": Definition._rnn, "GRU": Definition._gru, "LSTM": Definition._lstm}
