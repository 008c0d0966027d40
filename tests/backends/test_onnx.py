"""``model.onnx``: names, shapes, metadata, and that it is one self-contained file."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import rnn_export
from rnn_export.backends.onnx import IR_VERSION
from rnn_export.backends.write import forms_at
from rnn_export.bundle.golden import RUN
from rnn_export.capture.onnx_file.opset import at_opset, opset_of
from rnn_export.errors import OnnxFileError
from rnn_export.runtimes.table import RUNTIMES
from tests.support.cases import ModelCase, each_case
from tests.support.exports import Exported
from tests.support.paths import ARTIFACTS

each_file = pytest.mark.parametrize("file", ["model.onnx", "variants/loop.onnx"])


def load(case: ModelCase, exported: Exported, file: str) -> onnx.ModelProto:
    return onnx.load(exported(case).folder / file)


def described(value: onnx.ValueInfoProto) -> tuple[str, str, list[int | str]]:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return value.name, dtype, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]


@each_case
@each_file
def test_inputs_and_outputs_are_the_signature(case: ModelCase, exported: Exported, file: str) -> None:
    graph = load(case, exported, file).graph
    signature = exported(case).signature
    takes = zip(signature.input_names, (signature.inputs[0], *signature.state), strict=True)
    gives = zip(signature.output_names, signature.results, strict=True)
    assert [described(v) for v in graph.input] == [
        (name, spec.dtype, list(spec.shape)) for name, spec in takes
    ]
    assert [described(v) for v in graph.output] == [
        (name, spec.dtype, list(spec.shape)) for name, spec in gives
    ]
    assert signature.input_names[0] == "inputs"
    assert signature.output_names[1:] == [f"state_{k}_out" for k in range(len(signature.state))]


@each_case
@each_file
def test_versions_are_set_and_nothing_is_outside(case: ModelCase, exported: Exported, file: str) -> None:
    model = load(case, exported, file)
    assert model.ir_version == IR_VERSION == 8
    assert (model.producer_name, model.producer_version) == ("rnn_export", rnn_export.__version__)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    onnx.checker.check_model(model, full_check=True)


@each_case
@each_file
def test_metadata_tells_the_same_as_the_manifest(case: ModelCase, exported: Exported, file: str) -> None:
    properties = {entry.key: entry.value for entry in load(case, exported, file).metadata_props}
    manifest = exported(case).manifest
    assert json.loads(properties["rnn_export.signature"]) == json.loads(manifest.to_json())["signature"]
    assert properties["rnn_export.name"] == manifest.name
    assert json.loads(properties["rnn_export.streamable"]) == case.streamable
    pairs = json.loads(properties["rnn_export.state"])
    assert pairs == {leaf.output_name: leaf.name for leaf in manifest.signature.state}


@each_case
def test_the_graph_says_why_a_plain_net_is_a_gru(case: ModelCase, exported: Exported) -> None:
    model = load(case, exported, "model.onnx")
    operators = {node.op_type for node in model.graph.node}
    operators |= {node.op_type for at in model.graph.node for part in at.attribute for node in part.g.node}
    gated = "GRU" in operators and exported(case).manifest.form == "gated"
    assert ("GRU: This GRU is an RNN" in model.graph.doc_string) == gated


@each_case
def test_initializers_keep_the_parameters_names(case: ModelCase, exported: Exported) -> None:
    model, _ = case.build()
    names = {tensor.name for tensor in load(case, exported, "variants/loop.onnx").graph.initializer}
    known = [name for name, _ in model.named_parameters() if "weight" not in name]
    assert set(known) <= names


@pytest.mark.daily
@pytest.mark.parametrize("opset", [13, 17, 21])
def test_forms_are_written_for_another_opset(opset: int, tmp_path: Path) -> None:
    """Of a bundle's own file: it keeps its names, shapes and metadata, and gives the same."""
    bundle = rnn_export.Bundle.open(ARTIFACTS / "rnn_scratch")
    given = onnx.load(bundle.folder / "model.onnx")
    made = at_opset(given, opset)
    assert opset_of(made) == opset
    assert made.ir_version >= given.ir_version
    assert made.metadata_props == given.metadata_props
    assert list(map(described, made.graph.input)) == list(map(described, given.graph.input))
    assert list(map(described, made.graph.output)) == list(map(described, given.graph.output))
    (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
    call = RUNTIMES["onnxruntime"].start(tmp_path / "model.onnx", bundle.signature)
    case = next(one for one in bundle.cases if one.kind == RUN)
    for got, want in zip(call(*case.arguments), case.float32, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.exhaustive
def test_an_export_has_the_opset_that_is_asked_for(rnn: ModelCase, tmp_path: Path) -> None:
    bundle = rnn_export.export(*rnn.build(), tmp_path / "net", opset=21)
    opsets = {opset_of(onnx.load(path)) for path in bundle.folder.rglob("*.onnx")}
    assert opsets == {21}
    assert "ONNX, opset 21" in (bundle.folder / "report.html").read_text()
    assert not bundle.manifest.verification["left_out"]


def test_a_form_that_has_no_such_opset_is_left_out() -> None:
    loop = onnx.load(ARTIFACTS / "rnn_scratch" / "variants" / "loop.onnx")
    scan = onnx.load(ARTIFACTS / "rnn_scratch" / "variants" / "scan.onnx")
    with pytest.raises(OnnxFileError, match=r"variants/loop.onnx: .* Ask for another opset"):
        list(forms_at([("loop", loop)], 7, []))
    reasons = list[str]()
    made = forms_at([("loop", loop), ("scan", scan)], 10, reasons)
    assert [form for form, _ in made] == ["scan"]
    assert reasons[0].startswith("variants/loop.onnx: ")


def test_an_opset_that_is_none_is_named_first(tmp_path: Path) -> None:
    with pytest.raises(
        OnnxFileError, match=r"opset: expected a number from 7 to .*, got 3. Leave it out for 18"
    ):
        rnn_export.export(None, None, tmp_path / "net", opset=3)
