"""From a module, or from an ONNX file made elsewhere, to a Program."""
