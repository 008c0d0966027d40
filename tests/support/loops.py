"""Loops as others write them, in ONNX's own notation: folds, and what cannot be proven to be one."""

import onnx
from onnx import parser

from rnn_export.capture.onnx_file.reader import DIFFERS

HEAD = '<ir_version: 8, opset_import: ["" : 18]>'
# What all of them need; unused constants do no harm.
START = """
    yes = Constant <value = bool {1}> ()
    zero = Constant <value = int64 {0}> ()
    one = Constant <value = int64 {1}> ()
    axis = Constant <value = int64[1] {0}> ()
    sizes = Shape (x)
    length = Gather (sizes, zero)
"""
CALL = "net (float[T,B,3] x, float[B,3] h) => (float[T,B,3] y, float[B,3] last)"


def model(body: str, call: str = CALL) -> onnx.ModelProto:
    """Give a model with the constants above and some nodes."""
    made = parser.parse_model(f"{HEAD} {call} {{ {START} {body} }}")
    onnx.checker.check_model(made)
    return made


def loop(step: str, trips: str = "length", condition: str = "yes") -> str:
    """Give a loop over ``x`` with a state and a scan output: ``step`` computes ``h_t`` and ``y_t``."""
    return f"""
    last, y = Loop ({trips}, {condition}, h) <body = step (int64 i, bool go, float[B,3] h_s)
        => (bool go_on, float[B,3] h_t, float[B,3] y_t) {{ go_on = Identity (go) {step} }}>
    """


def listed(step: str, start: str = "list = SequenceEmpty ()", end: str = "") -> str:
    """Give a loop over ``x`` that puts something into a list: ``step`` computes ``h_t`` and ``list_t``."""
    end = end or "y = ConcatFromSequence <axis = 0, new_axis = 1> (all)"
    return f"""
    {start}
    last, all = Loop (length, yes, h, list) <body = step (int64 i, bool go, float[B,3] h_s, seq(float) list_s)
        => (bool go_on, float[B,3] h_t, seq(float) list_t) {{ go_on = Identity (yes) {step} }}>
    {end}
    """


READ = "x_t = Gather <axis = 0> (x, i) sum = Add (x_t, h_s) h_t = Tanh (sum)"
STEP = f"{READ} y_t = Neg (h_t)"
PUT = f"{READ} list_t = SequenceInsert (list_s, h_t)"
BATCH_FIRST = "net (float[B,T,3] x, float[B,3] h) => (float[B,T,3] y, float[B,3] last)"
BACKWARD = "ahead = Sub (length, i) place = Sub (ahead, one) x_t = Gather (x, place)"

FOLDS: dict[str, onnx.ModelProto] = {
    "a scan output": model(loop(STEP)),
    "a list": model(listed(PUT)),
    "weights that are carried": model(
        """
        W = Constant <value = float[3,3] {1,2,3,4,5,6,7,8,9}> ()
        w, last, xs_, y = Loop (length, yes, W, h, x) <body = step (
            int64 i, bool go, float[3,3] w_s, float[B,3] h_s, float[T,B,3] xs
        ) => (bool go_on, float[3,3] w_t, float[B,3] h_t, float[T,B,3] xs_t, float[B,3] y_t) {
            go_on = Identity (go) w_t = Identity (w_s) xs_t = Identity (xs)
            x_t = Gather (xs, i) p = MatMul (h_s, w_s) sum = Add (x_t, p) h_t = Tanh (sum) y_t = Neg (h_t) }>
        """
    ),
    "no condition": model(loop(STEP, condition="")),
    "a condition that is cast": model("w = Cast <to = 9> (one)" + loop(STEP, condition="w")),
    "an iteration number that is computed with": model(
        loop("x_t = Gather (x, i) f = Cast <to = 1> (i) s = Mul (x_t, f) h_t = Add (s, h_s) y_t = Neg (h_t)")
    ),
    "axis 1": model(
        "length_1 = Gather (sizes, one)"
        + listed(
            "x_t = Gather <axis = 1> (x, i) s = Add (x_t, h_s) h_t = Tanh (s) "
            "list_t = SequenceInsert (list_s, h_t)",
            end="y = ConcatFromSequence <axis = 1, new_axis = 1> (all)",
        ).replace("Loop (length,", "Loop (length_1,"),
        BATCH_FIRST,
    ),
    "slices, joined": model(
        listed(
            "n = Add (i, one) a = Unsqueeze (i, axis) b = Unsqueeze (n, axis) x_t = Slice (x, a, b, axis) "
            "f = Squeeze (x_t, axis) s = Add (f, h_s) h_t = Tanh (s) w = Unsqueeze (h_t, axis) "
            "list_t = SequenceInsert (list_s, w)",
            end="y = ConcatFromSequence <axis = 0> (all)",
        )
    ),
    "several rows a step, joined": model(
        listed(
            f"{READ} w = Concat <axis = 0> (h_t, x_t) list_t = SequenceInsert (list_s, w)",
            end="y = ConcatFromSequence <axis = 0> (all)",
        ),
        CALL.replace("float[T,B,3] y", "float[N,3] y"),
    ),
    "from its end, into the front of a list": model(
        listed(
            f"{BACKWARD} s = Add (x_t, h_s) h_t = Tanh (s) list_t = SequenceInsert (list_s, h_t, zero)",
        )
    ),
    "what is carried unchanged": model(
        """
        kept, last, y = Loop (length, yes, x, h) <body = step
            (int64 i, bool go, float[T,B,3] x_s, float[B,3] h_s)
            => (bool go_on, float[T,B,3] x_n, float[B,3] h_t, float[B,3] y_t) {
            go_on = Identity (go) x_n = Identity (x_s)
            x_t = Gather (x_s, i) sum = Add (x_t, h_s) h_t = Tanh (sum) y_t = Neg (h_t) }>
        """
    ),
    "what is carried as it is, and given in each step": model(
        """
        kept, last, y, s_ = Loop (length, yes, h, h) <body = step (
            int64 i, bool go, float[B,3] k, float[B,3] h_s)
            => (bool go, float[B,3] k, float[B,3] h_t, float[B,3] y_t, float[B,3] k) {
            x_t = Gather (x, i) a = Add (x_t, k) sum = Add (a, h_s) h_t = Tanh (sum) y_t = Neg (h_t) }>
        """,
        CALL.replace("float[B,3] last", "float[B,3] last, float[T,B,3] s_, float[B,3] kept"),
    ),
    "a counter of its own": model(
        """
        count, last, y = Loop (length, yes, zero, h) <body = step (int64 i, bool go, int64 t, float[B,3] h_s)
            => (bool go_on, int64 t_n, float[B,3] h_t, float[B,3] y_t) {
            go_on = Identity (go) t_n = Add (t, one)
            x_t = Gather (x, t) sum = Add (x_t, h_s) h_t = Tanh (sum) y_t = Neg (h_t) }>
        """
    ),
    "a sequence cut into a list": model(
        "cut = SplitToSequence <axis = 0, keepdims = 0> (x) n = SequenceLength (cut)"
        + loop("x_t = SequenceAt (cut, i) s = Add (x_t, h_s) h_t = Tanh (s) y_t = Neg (h_t)", trips="n")
    ),
    "a list in the step": model(
        loop(
            """x_t = Gather <axis = 0> (x, i) a = Unsqueeze (x_t, axis) b = Unsqueeze (h_s, axis)
            both = Concat <axis = 0> (a, b) cut = SplitToSequence <axis = 0, keepdims = 0> (both)
            first = SequenceAt (cut, zero) second = SequenceAt (cut, one)
            sum = Add (first, second) h_t = Tanh (sum) y_t = Neg (h_t)"""
        )
    ),
    "another sequence, that may be longer": model(
        loop("a = Gather (x, i) b = Gather (z, i) s = Add (a, b) h_t = Add (s, h_s) y_t = Neg (h_t)"),
        CALL.replace("float[B,3] h)", "float[B,3] h, float[12,B,3] z)"),
    ),
    "a step without a sequence": model(
        "steps = Constant <value = int64 {4}> ()"
        + loop("s = Add (h_s, h_s) h_t = Tanh (s) y_t = Mul (h_t, x)", trips="steps"),
        "net (float[B,3] x, float[B,3] h) => (float[4,B,3] y, float[B,3] last)",
    ),
    "a list that is not empty": model(
        listed(PUT, start="list = SequenceConstruct (h)"), CALL.replace("float[T,B,3] y", "float[N,B,3] y")
    ),
    "the front of a list that is not empty": model(
        listed(
            f"{READ} list_t = SequenceInsert (list_s, h_t, zero)", start="list = SequenceConstruct (h, h)"
        ),
        CALL.replace("float[T,B,3] y", "float[N,B,3] y"),
    ),
    "the last entry of a list": model(
        """
        minus_one = Constant <value = int64 {-1}> () list = SequenceConstruct (h)
        all = Loop (length, yes, list) <body = step (int64 i, bool go, seq(float) list_s)
            => (bool go_on, seq(float) list_t) { go_on = Identity (yes)
            h_s = SequenceAt (list_s, minus_one) x_t = Gather (x, i) sum = Add (x_t, h_s) h_t = Tanh (sum)
            list_t = SequenceInsert (list_s, h_t) }>
        last = SequenceAt (all, minus_one) whole = ConcatFromSequence <axis = 0, new_axis = 1> (all)
        end = Constant <value = int64[1] {2147483647}> () first = Constant <value = int64[1] {1}> ()
        y = Slice (whole, first, end, axis)
        """
    ),
    "a list of states": model(
        """
        list = SequenceConstruct (h, h)
        states, y = Loop (length, yes, list) <body = step (int64 i, bool go, seq(float) list_s)
            => (bool go_on, seq(float) list_t, float[B,3] y_t) { go_on = Identity (go)
            a = SequenceAt (list_s, zero) b = SequenceAt (list_s, one) x_t = Gather (x, i)
            p = Add (x_t, a) a_t = Tanh (p) q = Add (a_t, b) b_t = Sigmoid (q) y_t = Neg (b_t)
            list_t = SequenceConstruct (a_t, b_t) }>
        last = SequenceAt (states, one)
        """
    ),
    "a list of states, of which one is replaced": model(
        """
        other = Neg (h) list = SequenceConstruct (h, other)
        states, y = Loop (length, yes, list) <body = step (int64 i, bool go, seq(float) list_s)
            => (bool go_on, seq(float) list_t, float[B,3] y_t) { go_on = Identity (go)
            a = SequenceAt (list_s, zero) b = SequenceAt (list_s, one) n = SequenceLength (list_s)
            m = Cast <to = 1> (n) x_t = Gather (x, i)
            p = Add (x_t, a) a_t = Tanh (p) q = Mul (a_t, m) y_t = Add (q, b)
            rest = SequenceErase (list_s, zero) list_t = SequenceInsert (rest, a_t, zero) }>
        both = ConcatFromSequence <axis = 1> (states) last = Neg (both)
        """,
        CALL.replace("float[B,3] last", "float[B,6] last"),
    ),
    "a branch inside": model(
        loop(
            f"{READ} odd = Cast <to = 9> (i) y_t = If (odd) <"
            "then_branch = a () => (float[B,3] p) { p = Neg (h_t) }, "
            "else_branch = b () => (float[B,3] q) { q = Identity (h_t) }>"
        )
    ),
    "a loop over the list of another, among other things": model(
        listed(PUT, end="count = SequenceLength (all) h_2 = Exp (last)")
        + """
        last_2, twice = Loop (count, yes, h_2) <body = step_2 (int64 j, bool go_2, float[B,3] g_s)
            => (bool go_3, float[B,3] g_t, float[B,3] z_t) {
            go_3 = Identity (go_2) v = SequenceAt (all, j) w = Mul (v, g_s) g_t = Sigmoid (w) z_t = Neg (w) }>
        y = Add (twice, x)
        """
    ),
}

LEFT: dict[str, tuple[onnx.ModelProto, str]] = {
    "a condition that is computed": (
        model(
            loop(STEP)
            .replace(
                "go_on = Identity (go)",
                "all_ = ReduceSum <keepdims = 0> (h_s) go_on = Less (all_, big)",
            )
            .replace("last, y =", "big = Constant <value = float {1000.0}> () last, y =")
        ),
        "its condition is not constantly true, nor a comparison of what it counts: it may stop early",
    ),
    "no trip count": (
        model(loop(STEP, trips="")),
        "it has no trip count: it runs until its condition is false",
    ),
    "a list that is read inside": (
        model(
            listed(
                f"{READ} n = SequenceLength (list_s) f = Cast <to = 1> (n) g = Mul (h_t, f) "
                "list_t = SequenceInsert (list_s, g)"
            )
        ),
        "a list of it is read inside, or not appended to just once a step",
    ),
    "a list of states that is read at any place": (
        model(
            """
            list = SequenceConstruct (h, h) two = Constant <value = int64 {2}> ()
            states, y = Loop (length, yes, list) <body = step (int64 i, bool go, seq(float) list_s)
                => (bool go_on, seq(float) list_t, float[B,3] y_t) { go_on = Identity (go)
                place = Mod (i, two) a = SequenceAt (list_s, place) x_t = Gather (x, i)
                p = Add (x_t, a) a_t = Tanh (p) y_t = Neg (a_t) list_t = SequenceConstruct (a_t, h) }>
            last = SequenceAt (states, one)
            """
        ),
        "a list of it is read inside, at a place that is not constant",
    ),
    "a list that grows inside": (
        model(listed(f"{READ} list_t = SequenceInsert (list_s, h_t, i)")),
        "a list of it is not appended to at one of its ends",
    ),
    "a state that grows": (
        model(
            loop("x_t = Gather (x, i) y_t = Tanh (x_t) h_n = Concat <axis = 1> (y_t, y_t)")
            .replace("float[B,3] h_t", "float[B,M] h_n")
            .replace("float[B,3] h_s", "float[B,N] h_s"),
            CALL.replace("float[B,3] last", "float[B,N] last"),
        ),
        "a state changes its shape",
    ),
    "a state that gets more rows": (
        model(
            loop(f"{READ} y_t = Neg (h_t)")
            .replace("h_t = Tanh (sum)", "t = Tanh (sum) h_n = Concat <axis = 0> (h_s, t)")
            .replace("float[B,3] h_t, float[B,3] y_t)", "float[M,3] h_n, float[B,3] y_t)")
            .replace("float[B,3] h_s", "float[N,3] h_s")
            .replace("sum = Add (x_t, h_s)", "sum = Neg (x_t)")
            .replace("y_t = Neg (h_t)", "y_t = Neg (t)"),
            CALL.replace("float[B,3] last", "float[N,3] last"),
        ),
        DIFFERS,
    ),
}


def scan(
    attributes: str, step: str = "s = Add (x_t, h_s) h_t = Tanh (s) y_t = Neg (h_t)", after: str = ""
) -> str:
    """Give a ``Scan`` over ``x`` with a state and an output."""
    read = "z" if after else "y"
    return f"""
    last, {read} = Scan (h, x) <num_scan_inputs = 1, {attributes} body = step (float[B,3] h_s, float[B,3] x_t)
        => (float[B,3] h_t, float[B,3] y_t) {{ {step} }}>
    {after}
    """


FLIP = """
    end = Constant <value = int64[1] {-1}> ()
    far = Constant <value = int64[1] {-9223372036854775807}> ()
"""
TO_END = "scan_input_directions = [1], "
FROM_END = "scan_output_directions = [1], "
# A Scan, and the directions it has in the end.
SCANS: dict[str, tuple[onnx.ModelProto, list[int]]] = {
    "forward": (model(scan("")), []),
    "zeros": (model(scan("scan_input_directions = [0], scan_input_axes = [0],")), []),
    "reversed": (model(scan(TO_END + FROM_END)), [1]),
    "read from the end": (model(scan(TO_END)), []),
    "written from the end": (model(scan(FROM_END)), []),
    "batch first": (
        model(
            scan("scan_input_axes = [1], scan_output_axes = [-2],"),
            BATCH_FIRST,
        ),
        [],
    ),
    "read from the end, turned around": (
        model(FLIP + scan(TO_END, after="y = Slice (z, end, far, axis, end)")),
        [1],
    ),
    "turned around before and after": (
        model(
            f"{FLIP} r = Slice (x, end, far, axis, end)"
            + scan("", after="y = Slice (z, end, far, axis, end)").replace("(h, x)", "(h, r)")
        ),
        [1],
    ),
    "turned around before and after, batch first": (
        model(
            f"{FLIP} side = Constant <value = int64[1] {{1}}> () r = Slice (x, end, far, side, end)"
            + "q = Transpose <perm = [1, 0, 2]> (r)"
            + scan(
                "", after="t = Transpose <perm = [1, 0, 2]> (z) y = Slice (t, end, far, side, end)"
            ).replace("(h, x)", "(h, q)"),
            BATCH_FIRST,
        ),
        [1],
    ),
    "turned around before only": (
        model(f"{FLIP} r = Slice (x, end, far, axis, end)" + scan("").replace("(h, x)", "(h, r)")),
        [],
    ),
    "turned around, and read as it is": (
        model(
            f"{FLIP} r = Slice (x, end, far, axis, end)"
            + scan("", after="f = Slice (z, end, far, axis, end) y = Add (z, f)").replace("(h, x)", "(h, r)")
        ),
        [],
    ),
    "both ways in one": (
        model(
            """
            last, y, w = Scan (h, x, x) <num_scan_inputs = 2, scan_input_directions = [0, 1],
                scan_output_directions = [0, 1],
                body = step (float[B,3] h_s, float[B,3] a, float[B,3] b)
                => (float[B,3] h_t, float[B,3] y_t, float[B,3] w_t) {
                s = Add (a, h_s) h_t = Tanh (s) y_t = Neg (h_t) w_t = Mul (b, h_t) }>
            """,
            CALL.replace("(float[T,B,3] y,", "(float[T,B,3] y, float[T,B,3] w,"),
        ),
        [],
    ),
    "a state from one step ago": (
        model(scan(TO_END + FROM_END, "h_t = Exp (x_t) y_t = Neg (h_s)")),
        [],
    ),
    "a state from one step ago, among others": (
        model(
            """
            last, old, y = Scan (h, h, x) <num_scan_inputs = 1, scan_input_directions = [1],
                scan_output_directions = [1],
                body = step (float[B,3] h_s, float[B,3] o_s, float[B,3] x_t)
                => (float[B,3] h_t, float[B,3] o_t, float[B,3] y_t) {
                s = Add (x_t, h_s) h_t = Tanh (s) o_t = Exp (x_t) y_t = Mul (h_t, o_s) }>
            """,
            CALL.replace("float[B,3] last", "float[B,3] last, float[B,3] old"),
        ),
        [1],
    ),
}
