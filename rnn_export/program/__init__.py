"""The intermediate form: an ONNX model with a signature, and what reads, builds, runs and compares it."""
