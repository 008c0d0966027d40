"""What an export makes of a scripted module in ONNX."""

import onnx
import torch

from rnn_export.capture.script.script import LoopExport
from rnn_export.module.subject import Subject
from rnn_export.workers import Workers


def export_loop(scripted: torch.jit.ScriptModule, subject: Subject) -> onnx.ModelProto:
    """Export a scripted module to ONNX as it stands, in a worker."""
    with Workers() as workers:
        return LoopExport(scripted, subject, workers).model()
