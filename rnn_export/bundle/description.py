"""The manifest of an export: what the model was, which files there are, and which tools wrote them."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rnn_export.bundle.bundle import Manifest, describe_files
from rnn_export.module.subject import Subject
from rnn_export.version import __version__

TOOLS = ("torch", "onnx", "onnxruntime", "onnx-ir", "onnxscript", "numpy")


def describe(
    subject: Subject, folder: Path, name: str, metadata: Mapping[str, str], passes: list[dict[str, Any]]
) -> Manifest:
    """Give the manifest of the files in a folder, before anything was verified."""
    versions = {"rnn_export": __version__, "python": platform.python_version()}
    return Manifest(
        name=name,
        model={
            "class": subject.class_name,
            "source_modules": subject.source_modules,
            "parameters": sum(parameter.numel() for parameter in subject.model.parameters()),
        },
        signature=subject.signature,
        files=describe_files(folder),
        metadata=dict(metadata),
        versions={**versions, **{tool: version(tool) for tool in TOOLS}},
        passes=passes,
    )
