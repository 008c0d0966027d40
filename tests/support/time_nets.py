"""Graphs that mix time steps, as ONNX's own text: what stands around recurrences in whole models."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
from onnx import numpy_helper

from rnn_export.program.program import IR_VERSION, OPSET, Program
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import read_length
from rnn_export.signature.tensors import Array, InputSpec, OutputSpec
from tests.support.written_in_c import WrittenInC

SEQUENCE, MAPS, IMAGES = "[batch,time,4]", "[batch,4,time]", "[batch,2,6,time]"


@dataclass(frozen=True)
class TimeNet(WrittenInC):
    """A graph's nodes as text, its inputs and outputs, and the sizes of its weights.

    ``least`` are the fewest time steps that it takes. Lengths are an input of int64, ``[batch]``.
    """

    nodes: str
    gives: str
    takes: str = SEQUENCE
    weights: tuple[tuple[str, tuple[int, ...]], ...] = ()
    lengths: bool = False
    least: int = 1
    dtype: str = "float"

    def program(self) -> Program:
        """Read the text."""
        given = f"float{self.takes} x" + (", int64[batch] lengths" if self.lengths else "")
        weights = ", ".join(f"float[{','.join(map(str, shape))}] {name}" for name, shape in self.weights)
        axes = ",".join("abcd"[: len(self.output.shape)])
        gives = f"{self.dtype}[{axes}] outputs"
        graph = onnx.parser.parse_graph(f"net ({given}) => ({gives}) <{weights}> {{{self.nodes}}}")
        random = np.random.default_rng(0)
        del graph.initializer[:]
        for name, shape in self.weights:
            array = random.standard_normal(shape).astype(np.float32) / 2
            graph.initializer.append(numpy_helper.from_array(array, name))
        opset = onnx.helper.make_opsetid("", OPSET)
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        return Program(ir.from_proto(model), self.signature)

    @property
    def alone(self) -> bool:
        """Whether it takes and gives floats alone."""
        return not self.lengths and self.dtype == "float"

    @property
    def output(self) -> OutputSpec:
        """What comes out."""
        return OutputSpec(
            "outputs", {"float": "float32"}.get(self.dtype, self.dtype), tuple(_sizes(self.gives))
        )

    @property
    def signature(self) -> Signature:
        """What a call looks like."""
        inputs = [InputSpec("x", "float32", tuple(_sizes(self.takes)))]
        inputs += [InputSpec("lengths", "int64", ("batch",), counts_steps=True)] if self.lengths else []
        return Signature(
            tuple(inputs),
            (),
            (self.output,),
            None,  # type: ignore[arg-type]  # no TorchScript here
            returns_state=False,
            not_streamable_because="it mixes time steps",
            least=self.least,
        )

    def draw(self, steps: int, batch: int) -> list[Array]:
        """Draw the arguments of a call."""
        random = np.random.default_rng((steps, batch))
        inputs = self.signature.inputs
        drawn: list[Array] = [
            random.standard_normal(inputs[0].sized(time=steps, batch=batch)).astype(np.float32)
        ]
        if self.lengths:
            drawn.append(random.integers(1, steps + 1, batch))
        return drawn


def _sizes(text: str) -> Iterator[int | str]:
    for size in text.strip("[]").split(","):
        yield int(size) if size.isdecimal() else size
        assert size.isdecimal() or size == "batch" or read_length(size), size


def _conv(shape: tuple[int, ...], outputs: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return ("W", shape), ("b", (outputs,))


MEAN = TimeNet("k = Constant <value_ints=[1]> () outputs = ReduceMean <keepdims=0> (x, k)", "[batch,4]")
LAST = """
    one = Constant <value_ints=[1]> ()
    place = Sub (lengths, one)
    shape = Constant <value_ints=[-1,1,1]> ()
    apart = Reshape (place, shape)
    wide = Constant <value_ints=[1,1,4]> ()
    places = Expand (apart, wide)
    found = GatherElements <axis=1> (x, places)
    outputs = Squeeze (found, one)
"""
STEPS = """
    size = Shape <start=1, end=2> (x)
    steps = Squeeze (size)
    zero = Constant <value_int=0> ()
    one = Constant <value_int=1> ()
    number = Range (zero, steps, one)
"""
THERE = (
    STEPS
    + """
    last = Constant <value_ints=[-1]> ()
    ends = Unsqueeze (lengths, last)
    there = Less (number, ends)
    mask = Unsqueeze (there, last)
    axis = Constant <value_ints=[1]> ()
"""
)
TIME_NETS = {
    "mean": MEAN,
    "maximum": replace(MEAN, nodes=MEAN.nodes.replace("Mean", "Max")),
    "sum of features, too": TimeNet(
        "k = Constant <value_ints=[1,2]> () outputs = ReduceSum <keepdims=0> (x, k)", "[batch]"
    ),
    "attention": TimeNet(
        """
        scores = MatMul (x, A)
        weights = Softmax <axis=1> (scores)
        turned = Transpose <perm=[0,2,1]> (weights)
        outputs = MatMul (turned, x)
        """,
        "[batch,3,4]",
        weights=(("A", (4, 3)),),
    ),
    "both directions": TimeNet(
        """
        x0 = Transpose <perm=[1,0,2]> (x)
        y0, h = GRU <hidden_size=5, direction="bidirectional", linear_before_reset=1> (x0, W, R, B)
        h0 = Transpose <perm=[1,0,2]> (h)
        k = Constant <value_ints=[0,-1]> ()
        flat = Reshape (h0, k)
        outputs = MatMul (flat, V)
        """,
        "[batch,3]",
        weights=(("W", (2, 15, 4)), ("R", (2, 15, 5)), ("B", (2, 30)), ("V", (10, 3))),
    ),
    "rows that end apart": TimeNet(
        """
        x0 = Transpose <perm=[1,0,2]> (x)
        ends = Cast <to=6> (lengths)
        y0 = GRU <hidden_size=5, direction="bidirectional", linear_before_reset=1> (x0, W, R, B, ends)
        outputs = Transpose <perm=[2,0,1,3]> (y0)
        """,
        "[batch,time,2,5]",
        weights=(("W", (2, 15, 4)), ("R", (2, 15, 5)), ("B", (2, 30))),
        lengths=True,
    ),
    "convolution": TimeNet(
        "outputs = Conv <pads=[2,2], strides=[2], dilations=[2], kernel_shape=[3]> (x, W, b)",
        "[batch,6,(time + 1)//2]",
        MAPS,
        _conv((6, 4, 3), 6),
    ),
    "convolution of images": TimeNet(
        "outputs = Conv <pads=[1,2,1,2], strides=[2,3], kernel_shape=[3,5]> (x, W, b)",
        "[batch,3,3,(time + 2)//3]",
        IMAGES,
        _conv((3, 2, 3, 5), 3),
    ),
    "convolution of each channel": TimeNet(
        "outputs = Conv <pads=[3,0], group=4, kernel_shape=[4]> (x, W, b)",
        "[batch,8,time]",
        MAPS,
        _conv((8, 1, 4), 8),
    ),
    "convolution of groups": TimeNet(
        "outputs = Conv <group=2, kernel_shape=[2]> (x, W, b)",
        "[batch,6,time - 1]",
        MAPS,
        _conv((6, 2, 2), 6),
        least=2,
    ),
    "transposed convolution": TimeNet(
        "outputs = ConvTranspose <strides=[3], pads=[1,1], output_padding=[1], kernel_shape=[4]> (x, W, b)",
        "[batch,2,3*time]",
        MAPS,
        _conv((4, 2, 4), 2),
    ),
    "transposed convolution of images": TimeNet(
        "outputs = ConvTranspose <strides=[2,2], pads=[1,1,1,1], kernel_shape=[4,4]> (x, W, b)",
        "[batch,3,12,2*time]",
        IMAGES,
        _conv((2, 3, 4, 4), 3),
    ),
    "pooling": TimeNet(
        """
        one = MaxPool <kernel_shape=[3], strides=[2], pads=[1,1]> (x)
        other = AveragePool <kernel_shape=[3], strides=[2], pads=[1,1], count_include_pad=1> (x)
        sum = Add (one, other)
        outputs = AveragePool <kernel_shape=[3], pads=[1,1]> (sum)
        """,
        "[batch,4,(time + 1)//2]",
        MAPS,
    ),
    "pooling of images": TimeNet(
        "outputs = MaxPool <kernel_shape=[2,2], strides=[2,2]> (x)",
        "[batch,2,3,time//2]",
        IMAGES,
        least=2,
    ),
    "pooling of everything": TimeNet(
        "a = GlobalAveragePool (x) b = GlobalMaxPool (x) outputs = Concat <axis=1> (a, b)",
        "[batch,4,1,1]",
        IMAGES,
    ),
    "turned about": TimeNet(
        """
        k = Constant <value_ints=[-1]> ()
        end = Constant <value_ints=[-9223372036854775807]> ()
        axis = Constant <value_ints=[1]> ()
        y = Slice (x, k, end, axis, k)
        outputs = Add (x, y)
        """,
        "[batch,time,4]",
    ),
    "a step before": TimeNet(
        """
        pads = Constant <value_ints=[0,1,0,0,-1,0]> ()
        before = Pad (x, pads)
        outputs = Sub (x, before)
        """,
        "[batch,time,4]",
    ),
    "pieces of two": TimeNet(
        """
        size = Shape <start=1, end=2> (x)
        two = Constant <value_ints=[2]> ()
        half = Div (size, two)
        even = Mul (half, two)
        zero = Constant <value_ints=[0]> ()
        axis = Constant <value_ints=[1]> ()
        all = Slice (x, zero, even, axis)
        shape = Constant <value_ints=[0,-1,8]> ()
        y = Reshape (all, shape)
        outputs = Relu (y)
        """,
        "[batch,time//2,8]",
        least=2,
    ),
    "twice as many": TimeNet(
        """
        scales = Constant <value_floats=[1.0,1.0,2.0]> ()
        y = Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">
            (x, , scales)
        outputs = Relu (y)
        """,
        "[batch,4,2*time]",
        MAPS,
    ),
    "added up": TimeNet("k = Constant <value_int=1> () outputs = CumSum (x, k)", "[batch,time,4]"),
    "largest": TimeNet("outputs = ArgMax <axis=1, keepdims=0> (x)", "[batch,4]", dtype="int64"),
    "last of each row": TimeNet(LAST, "[batch,4]", lengths=True),
    "numbers of steps": TimeNet(
        STEPS + "rows = Gather (table, number) y = Add (x, rows) outputs = Relu (y)",
        "[batch,time,4]",
        weights=(("table", (800, 4)),),
    ),
    "mean of what is there": TimeNet(
        THERE
        + """
        ones = Cast <to=1> (mask)
        kept = Mul (x, ones)
        total = ReduceSum <keepdims=0> (kept, axis)
        count = ReduceSum <keepdims=0> (ones, axis)
        outputs = Div (total, count)
        """,
        "[batch,4]",
        lengths=True,
    ),
    "through the number of steps": TimeNet(
        """
        axis = Constant <value_ints=[1]> ()
        total = ReduceSum <keepdims=0> (x, axis)
        size = Shape <start=1, end=2> (x)
        steps = Cast <to=1> (size)
        outputs = Div (total, steps)
        """,
        "[batch,4]",
    ),
    "sorted": TimeNet(
        """
        count = Shape (lengths)
        longest, order = TopK (lengths, count)
        y = Gather (x, order)
        axis = Constant <value_ints=[1]> ()
        peak = ReduceMax <keepdims=0> (y, axis)
        ends = Cast <to=1> (longest)
        k = Constant <value_ints=[-1]> ()
        wide = Unsqueeze (ends, k)
        sum = Add (peak, wide)
        other, back = TopK <largest=0> (order, count)
        outputs = Gather (sum, back)
        """,
        "[batch,4]",
        lengths=True,
    ),
    "rows of all steps": TimeNet(
        """
        shape = Constant <value_ints=[-1,4]> ()
        flat = Reshape (x, shape)
        z = MatMul (flat, A)
        y = Tanh (z)
        sizes = Shape <start=0, end=2> (x)
        three = Constant <value_ints=[3]> ()
        again = Concat <axis=0> (sizes, three)
        outputs = Reshape (y, again)
        """,
        "[batch,time,3]",
        weights=(("A", (4, 3)),),
    ),
    "standardized": TimeNet(
        """
        shape = Constant <value_ints=[0,2,-1]> ()
        groups = Reshape (x, shape)
        y = InstanceNormalization <epsilon=0.001> (groups, scale, shift)
        sizes = Shape (x)
        outputs = Reshape (y, sizes)
        """,
        "[batch,4,time]",
        MAPS,
        weights=(("scale", (2,)), ("shift", (2,))),
        least=2,
    ),
    "a loop inside of pieces": TimeNet(
        """flat = Constant <value_ints=[-1,2,2]> () p = Reshape (x, flat) t = Transpose <perm=[1,0,2]> (p)
        y, h = RNN <hidden_size=3> (t, W, R) one = Constant <value_ints=[1]> () z = Squeeze (y, one)
        u = Transpose <perm=[1,0,2]> (z) six = Constant <value_ints=[6]> ()
        front = Shape <start=0, end=2> (x) shape = Concat <axis=0> (front, six)
        outputs = Reshape (u, shape)""",
        "[batch,time,6]",
        weights=(("W", (1, 3, 2)), ("R", (1, 3, 3))),
    ),
    "loops across pieces": TimeNet(
        """apart = Constant <value_ints=[0,0,2,2]> () a = Reshape (x, apart)
        t = Transpose <perm=[1,0,2,3]> (a) flat = Constant <value_ints=[0,-1,2]> () m = Reshape (t, flat)
        y, h = RNN <direction="bidirectional", hidden_size=3> (m, W, R)
        k = Transpose <perm=[0,2,1,3]> (y) twelve = Constant <value_ints=[12]> ()
        front = Shape <start=0, end=2> (t) shape = Concat <axis=0> (front, twelve)
        z = Reshape (k, shape) outputs = Transpose <perm=[1,0,2]> (z)""",
        "[batch,time,12]",
        weights=(("W", (2, 3, 2)), ("R", (2, 3, 3))),
    ),
    "pieces added up": TimeNet(
        """n = Shape <start=2, end=3> (x) two = Constant <value_ints=[2]> () twice = Mul (n, two)
        more = Add (twice, two) one = Constant <value_ints=[1]> () image = Concat <axis=0> (one, more)
        block = Constant <value_ints=[1,4]> ()
        y = Col2Im <strides=[1,2]> (x, image, block) outputs = Squeeze (y, two)""",
        "[batch,1,2*time + 2]",
        MAPS,
    ),
}
# What C does not take, and what is said of it.
REFUSED = {
    "over the rows": (
        TimeNet("k = Constant <value_ints=[0]> () outputs = ReduceMean (x, k)", "[batch,time,4]"),
        "over the rows of a batch",
    ),
    "the largest of all steps": (
        TimeNet(
            "k = Constant <value_ints=[1]> () v, i = TopK <axis=1> (x, k) outputs = Squeeze (v, k)",
            "[batch,4]",
        ),
        "compares the rows of a batch, or time steps",
    ),
    "the end behind the beginning": (
        TimeNet(
            """
            k = Constant <value_ints=[1]> ()
            zero = Constant <value_ints=[0]> ()
            most = Constant <value_ints=[1000000]> ()
            first = Slice (x, zero, k, k)
            rest = Slice (x, k, most, k)
            y = Concat <axis=1> (rest, first)
            outputs = Relu (y)
            """,
            "[batch,time,4]",
        ),
        "mixes numbers of several time steps",
    ),
}
