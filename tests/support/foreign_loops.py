"""Loops as other exporters write them: by a condition, with constants that are carried, with names that lie.

Each is a file by a pattern of tf2onnx 1.16 or jax2onnx 0.17, small and with weights of its own, or written in
onnxscript.
"""

import onnx
from onnx import parser
from onnxscript import FLOAT, script
from onnxscript import opset18 as op

from tests.support import loops

WEIGHTS = """float[3,3] kernel = {0.5, -0.2, 0.1, 0.7, 0.3, -0.6, 0.2, 0.4, -0.3},
     float[3,3] recurrent = {0.3, -0.4, 0.2, 0.1, -0.6, 0.5, 0.4, 0.2, -0.1}"""


def tf2onnx(step: str, masked: str = "") -> onnx.ModelProto:
    """Give what tf2onnx writes of a recurrent layer of Keras: opset 15, batch first, no trip count.

    The number of time steps is cast to int32, compared as a float and carried, as the weights are; the body
    gives what it carries as it is. ``step`` computes ``h_t``.
    """
    text = """<ir_version: 8, opset_import: ["" : 15]>
    tf2onnx (float[unk__1,unk__2,3] x) => (float[unk__3,unk__4,3] y)
    <int32 zero = {0}, float none = {0.0}, int32[1] width = {3}, int64[1] one = {1},
     int64[1] first = {0},     WEIGHTS>
    {
        xs = Transpose <perm = [1, 0, 2]> (x) MASKED
        s = Shape (xs) s_32 = Cast <to = 6> (s) s_0 = Slice (s_32, first, one, first) T = Squeeze (s_0, first)
        T_f = Cast <to = 1> (T) begin = Less (none, T_f)
        b = Shape (x) b_32 = Cast <to = 6> (b) b_0 = Slice (b_32, first, one, first)
        rows = Concat <axis = 0> (b_0, width) rows_64 = Cast <to = 7> (rows) h = Expand (none, rows_64)
        t_n, h_n, T_n, k_n, r_n, ys = Loop (, begin, zero, h, T, kernel, recurrent) <body = while_body (
            int64 i, bool go, int32 t, float[unk__5,3] h_s, int32 T_s, float[3,3] k, float[3,3] r
        ) => (
            bool go_on, int32 t_t, float[unk__6,3] h_t, int32 T_s, float[3,3] k, float[3,3] r,
            float[unk__7,3] y_t)
        <int32 by = {1}> {
            t_t = Add (t, by) x_t = Gather (xs, t)
            STEP y_t = Identity (h_t)
            a_f = Cast <to = 1> (t_t) b_f = Cast <to = 1> (T_s) go_on = Less (a_f, b_f) }>
        y = Transpose <perm = [1, 0, 2]> (ys)
    }"""
    return _checked(text.replace("STEP", step).replace("MASKED", masked))


def _checked(text: str) -> onnx.ModelProto:
    model = parser.parse_model(text.replace("WEIGHTS", WEIGHTS))
    onnx.checker.check_model(model)
    return model


CELL = "p = MatMul (x_t, k) q = MatMul (h_s, r) a = Add (p, q)"
MASKED = """
    nothing = Constant <value = float {0.0}> () e = Equal (x, nothing) n = Not (e) n_f = Cast <to = 1> (n)
    last = Constant <value_ints = [-1]> () m_f = ReduceMax <axes = [-1], keepdims = 1> (n_f)
    m = Cast <to = 9> (m_f) ms = Transpose <perm = [1, 0, 2]> (m)
"""
MASK = """
    h_1 = Tanh (a) m_t = Gather (ms, t) o = Not (m_t) o_f = Cast <to = 1> (o) m_1 = Cast <to = 1> (m_t)
    old = Mul (h_s, o_f) new = Mul (m_1, h_1) h_t = Add (new, old)
"""

# The number of time steps as a trip count, and in the condition, beside the number of the iteration.
TF_SCAN = """<ir_version: 8, opset_import: ["" : 15]>
    tf2onnx (float[unk__1,unk__2,4] x, float[unk__3,4] h) => (float[unk__4,unk__5,4] y)
    <int32 zero = {0}, float none = {0.0}, int64[1] one = {1}, int64[1] first = {0}>
    {
        xs = Transpose <perm = [1, 0, 2]> (x)
        s = Shape (xs) s_32 = Cast <to = 6> (s) s_0 = Slice (s_32, first, one, first) T = Squeeze (s_0, first)
        T_f = Cast <to = 1> (T) less = Less (none, T_f) begin = And (less, less) trips = Cast <to = 7> (T)
        t_n, h_n, T_n, ys = Loop (trips, begin, zero, h, T) <body = scan_while_body (
            int64 i, bool go, int32 t, float[unk__6,4] h_s, int32 T_s
        ) => (bool go_on, int32 t_t, float[unk__7,4] h_t, int32 T_s, float[unk__8,4] y_t)
        <float half = {0.5}, int32 by = {1}> {
            m = Mul (half, h_s) t_t = Add (t, by) x_t = Gather (xs, t) a = Add (x_t, m) h_t = Tanh (a)
            y_t = Identity (h_t) a_f = Cast <to = 1> (t_t) b_f = Cast <to = 1> (T_s) c_f = Cast <to = 1> (T)
            i_f = Cast <to = 1> (i) d = Less (i_f, c_f) e = Less (a_f, b_f) go_on = And (d, e) }>
        y = Transpose <perm = [1, 0, 2]> (ys)
    }"""

# A number of steps that is given, of a sequence that may be longer; the constants are carried through.
JAX_WHILE = """<ir_version: 10, opset_import: ["" : 23]>
    jax_model (float[T,B,3] x, float[B,3] h) => (float[B,3] last)
    <int32 zero = {0}, int32 six = {6}, int64 most = {9223372036854775807},
     WEIGHTS>
    {
        begin = Less (zero, six)
        x_n, k_n, r_n, t_n, last = Loop (most, begin, x, kernel, recurrent, zero, h) <body = while_body (
            int64 i, bool go, float[T,B,3] xs, float[3,3] k, float[3,3] r, int32 t, float[B,3] h_s
        ) => (bool go_on, float[T,B,3] xs_n, float[3,3] ks, float[3,3] rs, int32 t_t, float[B,3] h_t)
        <int32 by = {1}, int64[1] axis = {0}, int64[0] scalar = {}, int32 none = {0},
         int64[1] axis_1 = {1}, int64[1] one = {1}, int64[1] three = {3}, int64[3] axes = {0, 1, 2},
         float bias = {0.0}, int32 end = {6}>
        {
            t_t = Add (t, by) s = Shape (xs) s_0 = Gather (s, axis) T_64 = Reshape (s_0, scalar)
            T_32 = Cast <to = 6> (T_64) below = Less (t, none) around = Add (t, T_32)
            place = Where (below, around, t) p_64 = Cast <to = 7> (place) p = Unsqueeze (p_64, axis)
            z_64 = Cast <to = 7> (none) z = Unsqueeze (z_64, axis) starts = Concat <axis = 0> (p, z, z)
            s_1 = Gather (s, axis_1) widths = Concat <axis = 0> (one, s_1, three) ends = Add (starts, widths)
            piece = Slice (xs, starts, ends, axes) x_t = Squeeze (piece, axis)
            u = Gemm <alpha = 1.0, beta = 0.0> (x_t, k, bias)
            v = Gemm <alpha = 1.0, beta = 0.0> (h_s, r, bias)
            a = Add (u, v) h_t = Tanh (a) go_on = Less (t_t, end)
            xs_n = Identity (xs) ks = Identity (k) rs = Identity (r) }>
    }"""

# A trip count; every size that is free has one name, whatever it is.
JAX_SCAN = """<ir_version: 10, opset_import: ["" : 23]>
    jax_model (float[FREE,FREE,3] x, float[FREE,3] h) => (float[FREE,FREE,3] y, float[FREE,3] last)
    <bool yes = {1}, int64 zero = {0}, WEIGHTS>
    {
        s = Shape (x) T = Gather (s, zero)
        k_n, r_n, last, x_n, y = Loop (T, yes, kernel, recurrent, h, x) <body = scan_loop_body (
            int64 i, bool go, float[?,?] k, float[?,?] r, float[FREE,3] h_s, float[FREE,FREE,3] xs
        ) => (
            bool go_on, float[?,?] ks, float[?,?] rs, float[FREE,3] h_t, float[FREE,FREE,3] xs_n,
            float[FREE,3] y_t)
        <float bias = {0.0}> {
            x_t = Gather (xs, i)
            u = Gemm <alpha = 1.0, beta = 0.0> (x_t, k, bias)
            v = Gemm <alpha = 1.0, beta = 0.0> (h_s, r, bias)
            a = Add (u, v) b = Tanh (a) h_t = Cast <to = 1> (b) y_t = Cast <to = 1> (h_t)
            go_on = Identity (go) ks = Identity (k) rs = Identity (r) xs_n = Identity (xs) }>
    }"""


@script(default_opset=op)
def while_less(x: FLOAT["T", "B", 3], h: FLOAT["B", 3]) -> (FLOAT["T", "B", 3], FLOAT["B", 3]):  # noqa: F821
    """Run until a number is no longer less than another; nothing in the body has a type."""
    steps = op.Squeeze(op.Shape(x, start=0, end=1))
    t = op.Constant(value_int=0)
    one = op.Constant(value_int=1)
    go = op.Less(t, steps)
    ys = op.SequenceEmpty()
    while go:
        h = op.Tanh(op.Add(op.Gather(x, t), h))
        ys = op.SequenceInsert(ys, h)
        t = op.Add(t, one)
        go = op.Less(t, steps)
    return op.ConcatFromSequence(ys, axis=0, new_axis=1), h


@script(default_opset=op)
def for_unbound(x: FLOAT["T", "B", 3], h: FLOAT["B", 3]) -> (FLOAT["T", "B", 3], FLOAT["B", 3]):  # noqa: F821
    """Read the entries of a list, from the end of what is cut up."""
    end = op.Constant(value_ints=[-1])
    start = op.Constant(value_ints=[-9223372036854775807])
    axis = op.Constant(value_ints=[0])
    xs = op.SplitToSequence(op.Slice(x, end, start, axis, end), axis=0, keepdims=0)
    ys = op.SequenceEmpty()
    for i in range(op.SequenceLength(xs)):
        h = op.Tanh(op.Add(op.SequenceAt(xs, i), h))
        ys = op.SequenceInsert(ys, h)
    return op.ConcatFromSequence(ys, axis=0, new_axis=1), h


@script(default_opset=op)
def for_until(x: FLOAT["T", "B", 3], h: FLOAT["B", 3]) -> FLOAT["B", 3]:  # noqa: F821
    """Stop at a value."""
    most = op.Constant(value_float=0.9)
    for i in range(op.Squeeze(op.Shape(x, start=0, end=1))):
        h = op.Tanh(op.Add(op.Gather(x, i), h))
        found = op.Greater(op.ReduceMax(h, keepdims=0), most)
        if found:
            break
    return h


STOPS_EARLY = for_until.to_model_proto()
FOREIGN: dict[str, onnx.ModelProto] = {
    "a layer of Keras": tf2onnx(f"{CELL} h_t = Tanh (a)"),
    "a cell of Keras": tf2onnx(
        f"{CELL} c = Tanh (a) half = Constant <value = float {{0.5}}> () "
        "old = Mul (half, h_s) new = Mul (half, c) h_t = Add (old, new)"
    ),
    "a mask of Keras": tf2onnx(f"{CELL} {MASK}", masked=MASKED),
    "a scan of TensorFlow": _checked(TF_SCAN),
    "a while of JAX": _checked(JAX_WHILE),
    "a scan of JAX, with one name for all sizes": _checked(JAX_SCAN),
    "a while of onnxscript": while_less.to_model_proto(),
    "a for of onnxscript, over what is turned around and cut up": for_unbound.to_model_proto(),
    "an axis that is not the one of that name": loops.model(
        "rows = Gather (sizes, one)" + loops.loop(loops.STEP, trips="rows"),
        "net (float[N,N,3] x, float[N,3] h) => (float[N,N,3] y, float[N,3] last)",
    ),
}
