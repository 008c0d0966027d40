"""Passes that recognise the recurrences ONNX has operators for."""
