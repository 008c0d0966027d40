"""Graphs that compare time steps with each other, or with the places of contexts, as ONNX's own text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
from onnx import numpy_helper

from rnn_export.program.program import IR_VERSION, OPSET, Program
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array, InputSpec, OutputSpec, StateSpec, TensorSpec
from tests.support.written_in_c import WrittenInC

X, MEMORY, MASK = (
    "float[batch,time,4] x",
    "float[batch,memory_length,4] memory",
    "bool[batch,memory_length] mask",
)
DTYPES = {"float": "float32"}


@dataclass(frozen=True)
class PairNet(WrittenInC):
    """A graph's nodes as text, what it takes and gives, and the sizes of its weights.

    What it takes and gives under one name is a state: such a net is streamed.
    """

    nodes: str
    gives: tuple[str, ...]
    takes: tuple[str, ...] = (X,)
    weights: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def signature(self) -> Signature:
        """What a call looks like."""
        given, taken = [[_spec(text) for text in texts] for texts in (self.gives, self.takes)]
        leaves = {spec.name.removesuffix("_out") for spec in given if spec.name.endswith("_out")}
        inputs = [InputSpec(spec.name, spec.dtype, spec.shape) for spec in taken if spec.name not in leaves]
        state = [StateSpec(spec.name, spec.dtype, spec.shape) for spec in taken if spec.name in leaves]
        outputs = [OutputSpec(spec.name, spec.dtype, spec.shape) for spec in given[: len(given) - len(state)]]
        return Signature(
            tuple(inputs),
            tuple(state),
            tuple(outputs),
            None,  # type: ignore[arg-type]  # no TorchScript here
            returns_state=bool(state),
            not_streamable_because=None if state else "it mixes time steps",
        )

    def program(self) -> Program:
        """Read the text."""
        arrays = ", ".join(f"float[{','.join(map(str, shape))}] {name}" for name, shape in self.weights)
        gives = ", ".join(re.sub(r"\[.*\]", _ranked, text) for text in self.gives)
        text = f"net ({', '.join(self.takes)}) => ({gives}) <{arrays}> {{{self.nodes}}}"
        graph = onnx.parser.parse_graph(text)
        random = np.random.default_rng(0)
        del graph.initializer[:]
        for name, shape in self.weights:
            array = random.standard_normal(shape).astype(np.float32) / 2
            graph.initializer.append(numpy_helper.from_array(array, name))
        opset = onnx.helper.make_opsetid("", OPSET)
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        return Program(ir.from_proto(model), self.signature)

    def sizes(self, steps: int, batch: int, places: int) -> dict[str, int]:
        """Give the free sizes of a call; each context has one place more than the one before."""
        free = enumerate(self.signature.free_sizes, places)
        return {"time": steps, "batch": batch} | {name: size for size, name in free}

    def draw(self, steps: int, batch: int, places: int) -> list[Array]:
        """Draw the arguments of a call; whole numbers are the places of each row."""
        random, sizes = np.random.default_rng((steps, batch, places)), self.sizes(steps, batch, places)
        drawn: list[Array] = []
        for spec in (*self.signature.inputs, *self.signature.state):
            shape = spec.sized(**sizes)
            if spec.dtype == "bool":
                drawn.append(random.random(shape) > 0.5)
            elif spec.dtype == "int64":
                drawn.append(random.integers(1, places + 1, shape))
            else:
                drawn.append(random.standard_normal(shape).astype(np.float32))
        return drawn


def _spec(text: str) -> TensorSpec:
    found = re.fullmatch(r"(\w+)\[(.*)\] (\w+)", text)
    assert found
    sizes = tuple(int(size) if size.isdecimal() else size for size in found[2].split(","))
    return TensorSpec(found[3], DTYPES.get(found[1], found[1]), sizes)


def _ranked(shape: re.Match[str]) -> str:
    """Let ONNX find the sizes of what comes out."""
    return f"[{','.join('abcdef'[: len(shape[0].split(','))])}]"


def attended(scores: str, more: str = "") -> str:
    """Weigh a memory with a softmax of scores ``[B, T, S]``."""
    return f"{scores} w = Softmax <axis=-1> (s) {more} y = MatMul (w, memory)"


def reduced(operator: str) -> PairNet:
    """Reduce differences of each time step and each place."""
    return PairNet(
        f"""
        one = Constant <value_ints=[1]> () two = Constant <value_ints=[2]> ()
        a = Unsqueeze (x, two) b = Unsqueeze (memory, one)
        d = Sub (a, b)
        y = {operator} <keepdims=0> (d, two)
        """,
        ("float[batch,time,4] y",),
        (X, MEMORY),
    )


def causal(condition: str) -> PairNet:
    """Attend to those time steps for which some condition on ``j`` and ``i`` holds."""
    return PairNet(
        f"""
        shape = Shape <start=1, end=2> (x) T = Squeeze (shape)
        zero = Constant <value_int=0> () one = Constant <value_int=1> () last = Constant <value_ints=[1]> ()
        j = Range (zero, T, one) i = Unsqueeze (j, last)
        {condition}
        none = Constant <value_float=-1e9> ()
        t = Transpose <perm=[0,2,1]> (x)
        p = MatMul (x, t) s = Where (kept, p, none)
        w = Softmax <axis=-1> (s)
        y = MatMul (w, x)
        """,
        ("float[batch,time,4] y", "float[batch,time,time] w"),
    )


TRANSPOSED = "k = Transpose <perm=[0,2,1]> (memory) s = MatMul (x, k)"
ATTENTION = ("float[batch,time,4] y", "float[batch,time,memory_length] w")
# A decoder's step: its query is the state, and what it attended to is a part of the next one.
DECODER = """
    first = Transpose <perm=[1,0,2]> (x)
    h_out, ys, ws = Scan <num_scan_inputs=1, body=step (float[batch,4] h_, float[batch,4] x_)
        => (float[batch,4] next, float[batch,4] emitted, float[batch,memory_length] w) {
        keys = MatMul (memory, W)
        q = MatMul (h_, U)
        one = Constant <value_ints=[1]> ()
        wide = Unsqueeze (q, one)
        e = Tanh (a) a = Add (keys, wide)
        last = Constant <value_ints=[-1]> ()
        e2 = MatMul (e, v) s = Squeeze (e2, last)
        none = Constant <value_float=-1e9> ()
        m = Where (mask, none, s)
        w = Softmax <axis=-1> (m)
        w2 = Unsqueeze (w, one)
        c2 = MatMul (w2, memory) c = Squeeze (c2, one)
        sum = Add (c, x_) g = Add (sum, q)
        next = Tanh (g) emitted = Identity (next)
    }> (h, first)
    y = Transpose <perm=[1,0,2]> (ys)
    w = Transpose <perm=[1,0,2]> (ws)
""".replace("e = Tanh (a) a = Add (keys, wide)", "a = Add (keys, wide) e = Tanh (a)")
LAST = """
    end = Constant <value_int=-1> ()
    l = Gather <axis=1> (w, end)
"""
HEADS = """
    apart = Constant <value_ints=[0,0,2,2]> ()
    q4 = Reshape (x, apart) k4 = Reshape (memory, apart)
    q = Transpose <perm=[0,2,1,3]> (q4) k = Transpose <perm=[0,2,3,1]> (k4)
    v = Transpose <perm=[0,2,1,3]> (k4)
    s = MatMul (q, k) w = Softmax <axis=-1> (s)
    z = MatMul (w, v) z4 = Transpose <perm=[0,2,1,3]> (z)
    together = Constant <value_ints=[0,0,4]> ()
    y = Reshape (z4, together)
"""
THERE = """
    shape = Shape <start=1, end=2> (memory) S = Squeeze (shape)
    zero = Constant <value_int=0> () one = Constant <value_int=1> () last = Constant <value_ints=[1]> ()
    places = Range (zero, S, one)
    ends = Unsqueeze (lengths, last)
    there = Less (places, ends) t3 = Unsqueeze (there, last)
    none = Constant <value_float=-1e9> ()
"""

PAIR_NETS: dict[str, PairNet] = {
    "each with each": PairNet(
        "t = Transpose <perm=[0,2,1]> (x) s = MatMul (x, t) y = MatMul (s, x)", ("float[batch,time,4] y",)
    ),
    "a memory": PairNet(attended(TRANSPOSED), ATTENTION, (X, MEMORY)),
    "a memory with its places in front": PairNet(
        "k = Transpose <perm=[1,2,0]> (m) memory = Transpose <perm=[1,0,2]> (m)"
        + attended("s = MatMul (x, k)"),
        ATTENTION,
        (X, "float[memory_length,batch,4] m"),
    ),
    "weights turned": PairNet(
        attended(TRANSPOSED, "u = Transpose <perm=[2,0,1]> (w)"),
        ("float[batch,time,4] y", "float[memory_length,batch,time] u"),
        (X, MEMORY),
    ),
    "products of places": PairNet(
        "q = Transpose <perm=[0,2,1]> (x) p = MatMul (memory, q) s = Transpose <perm=[0,2,1]> (p)"
        + attended(""),
        ATTENTION,
        (X, MEMORY),
    ),
    "einsum": PairNet(
        """s = Einsum <equation="btf,bsf->bts"> (x, memory) w = Softmax <axis=2> (s)
        y = Einsum <equation="bts,bsf->btf"> (w, memory)""",
        ATTENTION,
        (X, MEMORY),
    ),
    "heads": PairNet(HEADS, ("float[batch,time,4] y", "float[batch,2,time,memory_length] w"), (X, MEMORY)),
    "a mask": PairNet(
        attended(
            TRANSPOSED.replace("s =", "p =")
            + """one = Constant <value_ints=[1]> () wide = Unsqueeze (mask, one)
            none = Constant <value_float=-1e9> () s = Where (wide, none, p)"""
        ),
        ATTENTION,
        (X, MEMORY, MASK),
    ),
    "lengths of memories": PairNet(
        attended(
            TRANSPOSED.replace("s =", "p =")
            + THERE
            + "one3 = Unsqueeze (there, last) s = Where (one3, p, none)"
        ),
        ATTENTION,
        (X, MEMORY, "int64[batch] lengths"),
    ),
    "weights of the last step": PairNet(
        attended(TRANSPOSED) + LAST, ("float[batch,memory_length] l",), (X, MEMORY)
    ),
    "two memories": PairNet(
        attended(TRANSPOSED)
        + """k2 = Transpose <perm=[0,2,1]> (other) s2 = MatMul (y, k2) w2 = Softmax <axis=-1> (s2)
        y2 = MatMul (w2, other)""",
        ("float[batch,time,4] y2", "float[batch,time,other_length] w2"),
        (X, MEMORY, "float[batch,other_length,4] other"),
    ),
    "what is made of places alone": PairNet(
        "m = MatMul (memory, W) y = Tanh (m)"
        + "k = Constant <value_ints=[1]> () z = ReduceMean <keepdims=0> (x, k)",
        ("float[batch,memory_length,3] y", "float[batch,4] z"),
        (X, MEMORY),
        (("W", (4, 3)),),
    ),
    "a memory behind a stride": PairNet(
        """m = Transpose <perm=[0,2,1]> (source) c = Conv <strides=[2], pads=[1,1]> (m, W) k = Tanh (c)
        memory = Transpose <perm=[0,2,1]> (k)"""
        + attended("s = MatMul (x, k)"),
        ("float[batch,time,4] y",),
        (X, "float[batch,source_length,3] source"),
        (("W", (4, 3, 3)),),
    ),
    "units of pairs": PairNet(
        """one = Constant <value_ints=[1]> () two = Constant <value_ints=[2]> ()
        a = MatMul (x, W) b = MatMul (memory, U) a4 = Unsqueeze (a, two) b4 = Unsqueeze (b, one)
        d = Add (a4, b4) e = Tanh (d) f = MatMul (e, V) g = Relu (f)
        y = ReduceMean <keepdims=0> (g, two)""",
        ("float[batch,time,5] y",),
        (X, MEMORY),
        (("W", (4, 18)), ("U", (4, 18)), ("V", (18, 5))),
    ),
    "causal": causal("kept = LessOrEqual (j, i)"),
    "a window": causal(
        "d = Sub (j, i) far = Abs (d) two = Constant <value_int=2> () kept = LessOrEqual (far, two)"
    ),
    "a decoder": PairNet(
        DECODER,
        ("float[batch,time,4] y", "float[batch,time,memory_length] w", "float[batch,4] h_out"),
        (X, MEMORY, MASK, "float[batch,4] h"),
        (("W", (4, 4)), ("U", (4, 4)), ("v", (4, 1))),
    ),
} | {name: reduced(name) for name in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")}

REFUSED: dict[str, tuple[PairNet, str]] = {
    "largest of all steps": (
        PairNet(
            TRANSPOSED + "k1 = Constant <value_ints=[1]> () y = ReduceMax <keepdims=0> (s, k1)",
            ("float[batch,memory_length] y",),
            (X, MEMORY),
        ),
        "reduces over time what there is one of for each place",
    ),
    "three axes": (
        PairNet(
            attended(TRANSPOSED)
            + """a = Constant <value_ints=[-1]> () w4 = Unsqueeze (w, a) b = Constant <value_ints=[1]> ()
            u = Transpose <perm=[0,2,1]> (x) z = ReduceSum <keepdims=1> (u, b) z4 = Unsqueeze (z, b)
            v4 = Mul (w4, z4) c = Constant <value_ints=[2]> () o = ReduceSum <keepdims=0> (v4, c)""",
            ("float[batch,time,time] o",),
            (X, MEMORY),
        ),
        "for each of three free axes",
    ),
    "one place of all": (
        PairNet(
            attended(
                TRANSPOSED, "zero = Constant <value_int=0> () p = Gather <axis=2> (w, zero) q = Exp (p)"
            ),
            ("float[batch,time] q",),
            (X, MEMORY),
        ),
        "takes single places",
    ),
    "numbers of places": (
        PairNet(TRANSPOSED + "y = Cast <to=7> (s)", ("int64[batch,time,memory_length] y",), (X, MEMORY)),
        "a whole number for each place",
    ),
}


def arguments_of(net: PairNet, sizes: Sequence[int]) -> dict[str, Array]:
    """Draw the arguments of a call by name."""
    signature = net.signature
    return dict(zip(signature.input_names, net.draw(*sizes), strict=True))
