"""The table of operators is the one that torch.onnx makes, whatever makes it quick."""

from onnxscript.values import TracedOnnxFunction
from torch.onnx._internal.exporter._registration import ONNXRegistry

from rnn_export.capture.registry import unparsed
from rnn_export.program.quiet import quiet


def test_nothing_is_asked_but_the_domain() -> None:
    """Another question would be an ``AttributeError``, or a function that is missing in the table."""
    whole, made = TracedOnnxFunction.function_ir, ONNXRegistry.from_torchlib
    make = getattr(made, "__wrapped__", made)  # one that is not remembered
    with quiet():
        slow = make().functions
        with unparsed():
            quick = make().functions
    assert TracedOnnxFunction.function_ir is whole
    assert quick.keys() == slow.keys()
    for name, found in quick.items():
        assert [meta.onnx_function for meta in found] == [meta.onnx_function for meta in slow[name]]
