"""ONNX's own recurrent operators as loops: equal to ONNX Runtime's, and compiled to C."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import rnn_export
from rnn_export.backends.c.trace.operators import expand
from rnn_export.backends.c.write.model import compile_program
from rnn_export.errors import CompileError
from rnn_export.program.program import IR_VERSION, OPSET, Program
from rnn_export.program.scan import scans
from rnn_export.runtimes import c
from rnn_export.runtimes.compiler import compiler
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array, InputSpec, OutputSpec, StateSpec
from rnn_export.verification.verify import PASSED, VerificationReport
from tests.support.cases import CALL_CASES

SIZE, HIDDEN = 3, 5
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STATES = {"RNN": 1, "GRU": 1, "LSTM": 2}
DIRECTIONS = ("forward", "reverse", "bidirectional")


def signature(kind: str, directions: int, *, lengths: bool = False) -> Signature:
    leaves = tuple(
        StateSpec(f"state_{k}", "float32", (directions, "batch", HIDDEN)) for k in range(STATES[kind])
    )
    return Signature(
        (InputSpec("inputs", "float32", ("time", "batch", SIZE)),),
        leaves,
        (OutputSpec("outputs", "float32", ("time", "batch", directions * HIDDEN)),),
        {"tuple": [leaf.name for leaf in leaves]},
        lengths=lengths,
    )


def weights(kind: str, directions: int, peepholes: bool) -> dict[str, Array]:
    random, gates = np.random.default_rng(0), GATES[kind]
    shapes = {"W": (gates * HIDDEN, SIZE), "R": (gates * HIDDEN, HIDDEN), "B": (2 * gates * HIDDEN,)}
    shapes |= {"P": (3 * HIDDEN,)} if peepholes else {}
    return {
        name: random.normal(0, 0.6, (directions, *shape)).astype(np.float32) for name, shape in shapes.items()
    }


def program(
    kind: str,
    *,
    leave_out: tuple[str, ...] = (),
    peepholes: bool = False,
    lengths: bool = False,
    computed: str = "",
    **attributes: Any,
) -> Program:
    """Give a graph of one operator, with some inputs left out."""
    directions = 1 + (attributes.get("direction") == "bidirectional")
    call = signature(kind, directions, lengths=lengths)
    constants = weights(kind, directions, peepholes)
    names = ["inputs", "W", "R", "B", "sequence_lens", *(leaf.name for leaf in call.state)]
    given = {"inputs", *constants, *(leaf.name for leaf in call.state)} | (
        {"sequence_lens"} if lengths else set()
    )
    names += ["P"] if peepholes else []
    inputs = [name if name in given - set(leave_out) else "" for name in names]
    finals = call.output_names[1:]
    nodes = [
        helper.make_node(kind, inputs, ["Y", *finals], "recurrence", hidden_size=HIDDEN, **attributes),
        helper.make_node("Transpose", ["Y"], ["rows"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["rows", "shape"], ["outputs"]),
    ]
    constants["shape"] = np.array([0, 0, -1])
    if lengths:
        nodes.insert(0, helper.make_node("Cast", ["lengths"], ["sequence_lens"], to=TensorProto.INT32))
    if computed:
        constants[f"{computed}_0"] = constants.pop(computed)
        nodes.insert(0, helper.make_node("Add", [f"{computed}_0", "bound"], [computed]))
        constants["bound"] = np.zeros((), np.float32)
    arguments = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64 if name == "lengths" else TensorProto.FLOAT, shape
        )
        for name, shape in zip(
            call.input_names, [*(s.shape for s in call.arguments), ("batch",)], strict=False
        )
    ]
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, spec.shape)
        for name, spec in zip(call.output_names, call.results, strict=True)
    ]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "net", arguments, results, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return Program(ir.from_proto(model), call)


def in_c(given: Program, feeds: dict[str, Array], folder: Path) -> list[Array]:
    """Compile a Program, and run a call."""
    assert given.signature
    files = compile_program(given, given.signature, "net")
    (folder / "model.c").write_text(files.source)
    (folder / "model.h").write_text(files.header)
    return list(c.start(folder / "model.c", given.signature)(*feeds.values()))


OPTIONS = [
    *((kind, {"direction": direction}) for kind in GATES for direction in DIRECTIONS),
    *(("GRU", {"direction": direction, "linear_before_reset": 1}) for direction in DIRECTIONS),
    *((kind, {"leave_out": ("B",)}) for kind in GATES),
    *((kind, {"clip": 0.25, "direction": "bidirectional"}) for kind in GATES),
    ("GRU", {"clip": 0.25, "linear_before_reset": 1}),
    *(("LSTM", {"direction": direction, "peepholes": True}) for direction in DIRECTIONS),
    ("LSTM", {"peepholes": True, "clip": 0.25, "leave_out": ("B", "state_0", "state_1")}),
    ("LSTM", {"input_forget": 1}),
    ("LSTM", {"input_forget": 1, "peepholes": True, "direction": "reverse"}),
    *(
        ("RNN", {"activations": [name]})
        for name in (
            "Relu",
            "Tanh",
            "Sigmoid",
            "LeakyRelu",
            "HardSigmoid",
            "Elu",
            "Softsign",
            "Softplus",
        )
    ),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.4], "activation_beta": [0.3]}),
    ("RNN", {"activations": ["ScaledTanh"], "activation_alpha": [0.9], "activation_beta": [0.7]}),
    ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.3]}),
    ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.2]}),
    ("RNN", {"activations": ["HardSigmoid"], "activation_alpha": [0.3], "activation_beta": [0.4]}),
    ("RNN", {"activations": ["Elu"], "activation_alpha": [0.7]}),
    (
        "GRU",
        {
            "activations": ["HardSigmoid", "ScaledTanh", "Sigmoid", "LeakyRelu"],
            "activation_alpha": [0.3, 0.9, 0.2],
            "activation_beta": [0.4, 0.7],
            "direction": "bidirectional",
        },
    ),
    ("GRU", {"activations": ["Tanh", "Relu"], "linear_before_reset": 1}),
    (
        "LSTM",
        {
            "activations": ["HardSigmoid", "Tanh", "Elu", "Sigmoid", "Softsign", "LeakyRelu"],
            "activation_alpha": [0.3, 0.8, 0.1],
            "activation_beta": [0.4],
            "direction": "bidirectional",
        },
    ),
]

IN_C = [(kind, options) for kind, options in OPTIONS if len(options.get("activations", ())) != 1]


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=[f"{kind}-{options}" for kind, options in OPTIONS])
def test_a_loop_gives_what_the_operator_gives(kind: str, options: dict[str, Any]) -> None:
    given = program(kind, **options)
    feeds = given.sample(6, 2)
    want, got = given.run(feeds), expand(given).run(feeds)
    assert list(got) == list(want)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=1e-5)


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
@pytest.mark.parametrize(("kind", "options"), IN_C, ids=[f"{kind}-{options}" for kind, options in IN_C])
def test_c_gives_what_the_operator_gives(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    given = program(kind, **options)
    feeds = given.sample(6, 2)
    for want, got in zip(given.run(feeds).values(), in_c(given, feeds, tmp_path), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", GATES)
def test_a_state_that_is_left_out_is_zero(kind: str) -> None:
    given = program(kind, leave_out=("state_0", "state_1"), direction="bidirectional")
    feeds = given.sample(6, 2)
    want, got = given.run(feeds), expand(given).run(feeds)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=1e-5)


def test_a_threshold_that_is_left_out_is_that_of_the_function() -> None:
    # ONNX Runtime takes 0; the specification says, that of ThresholdedRelu itself.
    left_out = expand(program("RNN", activations=["ThresholdedRelu"]))
    given = program("RNN", activations=["ThresholdedRelu"], activation_alpha=[1.0])
    feeds = given.sample(6, 2)
    for want, got in zip(given.run(feeds).values(), left_out.run(feeds).values(), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", GATES)
def test_rows_may_end_apart_by_the_lengths_of_the_call(kind: str, direction: str, tmp_path: Path) -> None:
    given = program(kind, lengths=True, direction=direction)
    feeds = given.sample(6, 3) | {"lengths": np.array([6, 1, 4])}
    for want, got in zip(given.run(feeds).values(), in_c(given, feeds, tmp_path), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def test_nodes_that_are_no_operators_stay() -> None:
    given = program("RNN")
    names = {node.name for node in given.model.graph}
    assert "recurrence" in names
    assert "RNN" not in {node.op_type for node in expand(given).model.graph}
    assert {node.name for node in given.model.graph} == names  # a copy was changed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": 1}, r"node 'recurrence' \(GRU\): .* layout 1"),
        ({"computed": "R"}, r"node 'recurrence' \(GRU\): .* R is computed"),
        ({"activations": ["Tanh", "Cube"]}, r"node 'recurrence' \(GRU\): .* activation 'Cube'"),
        ({"activations": ["Tanh"]}, r"node 'recurrence' \(GRU\): expected 2 activations, got 1"),
    ],
    ids=str,
)
def test_what_is_no_loop_is_refused(options: dict[str, Any], message: str) -> None:
    unchecked = {key: value for key, value in options.items() if key != "layout"}
    given = program("GRU", **unchecked)
    if "layout" in options:
        given.model.graph[0].attributes["layout"] = ir.AttrInt64("layout", 1)
    with pytest.raises(CompileError, match=message):
        expand(given)


def test_only_lengths_of_its_own_end_the_rows_within_a_loop() -> None:
    given = program("LSTM", lengths=True)  # those of the call: C runs each row alone
    own = Program(given.model, signature("LSTM", 1))
    loops = [scans(expand(each).model.graph) for each in (given, own)]
    assert [[len(loop.sequences) for loop in each] for each in loops] == [[1], [2]]


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("lengths", [False, True])
def test_a_bidirectional_module_is_verified(lengths: bool, tmp_path: Path) -> None:
    case = next(case for case in CALL_CASES if case.name == "torch_bidirectional")
    bundle = rnn_export.export(*case.build(), tmp_path / "bundle", lengths=lengths)
    report = VerificationReport.stored(bundle.manifest)
    assert [check.verdict for check in report.checks if check.file == "model.c"] == [PASSED]


@pytest.mark.skipif(compiler() is None, reason="there is no compiler")
@pytest.mark.parametrize(("kind", "right"), [("ArgMax", np.argmax), ("ArgMin", np.argmin)])
@pytest.mark.parametrize("keep", [0, 1])
def test_the_first_place_of_an_extreme(kind: str, right: Any, keep: int, tmp_path: Path) -> None:
    shape = ("time", "batch", *[1] * keep)
    given, gives = (
        (InputSpec("inputs", "float32", ("time", "batch", SIZE)),),
        (OutputSpec("outputs", "int64", shape),),
    )
    graph = helper.make_graph(
        [helper.make_node(kind, ["inputs"], ["outputs"], axis=2, keepdims=keep)],
        "net",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, given[0].shape)],
        [helper.make_tensor_value_info("outputs", TensorProto.INT64, shape)],
    )
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    call = Signature(given, (), gives, {"tuple": []})
    files = compile_program(Program(ir.from_proto(model), call), call, "net")
    (tmp_path / "model.c").write_text(files.source)
    (tmp_path / "model.h").write_text(files.header)
    inputs = np.random.default_rng(0).integers(-2, 3, (4, 6, SIZE)).astype(np.float32)  # many are alike
    inputs[1, 2, 1] = inputs[3, 3, 2] = np.nan
    [got] = c.start(tmp_path / "model.c", call)(inputs)
    np.testing.assert_array_equal(got, right(inputs, -1, keepdims=bool(keep)))
