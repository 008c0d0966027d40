"""``model.onnx``: names, shapes, metadata, and that it is one self-contained file."""

import json

import onnx
import pytest

from rnn_export.backends.onnx import IR_VERSION
from tests.support.cases import ModelCase, each_case
from tests.support.exports import Exported

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
def test_initializers_keep_the_parameters_names(case: ModelCase, exported: Exported) -> None:
    model, _ = case.build()
    names = {tensor.name for tensor in load(case, exported, "variants/loop.onnx").graph.initializer}
    known = [name for name, _ in model.named_parameters() if "weight" not in name]
    assert set(known) <= names
