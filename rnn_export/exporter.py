"""From a module to a bundle: script, export, compare, and only then put the folder in its place."""

import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import rnn_export
from rnn_export import golden, grid, tolerance
from rnn_export.backends import onnx, torchscript
from rnn_export.bundle import MANIFEST, Bundle, Manifest, check_target, describe_files, staged
from rnn_export.errors import VerificationError
from rnn_export.frontends import script
from rnn_export.golden import Case
from rnn_export.subject import Subject, examine
from rnn_export.verify import Tell, VerificationReport, check_bundle

TOOLS = ("torch", "onnx", "onnxruntime", "onnx-ir", "numpy")


def export(
    model: nn.Module,
    example: tuple[Tensor, Any],
    folder: str | Path,
    *,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Tell | None = None,
) -> Bundle:
    """Export a recurrent module as a bundle, every file proven equal to eager PyTorch.

    Args:
        model: takes ``(inputs, state)`` and returns ``(outputs, new_state)``. A copy in eval mode, on the
            CPU, is exported; the module itself is not changed.
        example: one call's ``(inputs, state)``. ``inputs`` has shape ``[T, B, features]`` in the dtype of
            the parameters (float32 or float64), or ``[T, B]`` for token ids (int64). ``state`` is a tensor,
            or nested tuples or lists of tensors ``[B, ...]``. T and B stay free in every file.
        folder: where the bundle goes. It appears there whole, after everything was verified.
        name: what the model is called in its files; the folder's name unless given.
        metadata: strings that travel with the model, in the manifest and in the ONNX files.
        overwrite: whether to replace a bundle that is there.
        progress: is told what is being done.

    Raises:
        InputError: the example is not what the module takes.
        ModelError: the module cannot be exported.
        BundleError: the folder exists or cannot be written.
        VerificationError: a file does not agree with eager PyTorch.

    On any error nothing is written, and a bundle that was there is untouched.
    """
    folder = Path(folder)
    check_target(folder, overwrite=overwrite)
    tell = progress or (lambda stage, done, total: None)
    subject = examine(model, example)
    subject = replace(subject, signature=replace(subject.signature, whole_only=grid.why_whole_only(subject)))
    name, metadata = name or folder.resolve().name, dict(metadata or {})

    with staged(folder, overwrite=overwrite) as staging:
        _write_models(subject, staging, name, metadata, tell)
        tell("Running eager PyTorch over the grid", 0, 1)
        cases = grid.build(subject)
        golden.write(staging, cases, subject.signature, _tolerances(cases, subject))
        manifest = _manifest(subject, staging, name, metadata)
        tell("Verifying", 0, 1)
        report = check_bundle(Bundle(staging, manifest), progress)
        if not report.passed:
            raise VerificationError(_failure(report))
        manifest = replace(manifest, verification=report.to_json())
        (staging / MANIFEST).write_text(manifest.to_json())
    return Bundle(folder, manifest)


def _write_models(subject: Subject, staging: Path, name: str, metadata: dict[str, str], tell: Tell) -> None:
    tell("Scripting the module", 0, 2)
    scripted = script.script(subject)
    torchscript.write(scripted, staging / "model.pt")
    tell("Exporting to ONNX", 1, 2)
    loop = onnx.finish(
        script.export_loop(scripted, subject), subject.signature, name, metadata, prefix=f"{script.WRAPPED}."
    )
    onnx.write(loop, staging / "model.onnx")
    onnx.write(loop, staging / "variants" / "loop.onnx")
    tell("Exported to ONNX", 2, 2)


def _tolerances(cases: list[Case], subject: Subject) -> dict[str, list[float]]:
    """Give one number a result for clients in other languages: the largest bound of its units."""
    bounds = tolerance.bounds(cases, subject.signature)
    return {case: [float(units.max(initial=0)) for units in results] for case, results in bounds.items()}


def _manifest(subject: Subject, staging: Path, name: str, metadata: dict[str, str]) -> Manifest:
    versions = {"rnn_export": rnn_export.__version__, "python": platform.python_version()}
    return Manifest(
        name=name,
        model={
            "class": subject.class_name,
            "source_modules": subject.source_modules,
            "parameters": sum(parameter.numel() for parameter in subject.model.parameters()),
        },
        signature=subject.signature,
        files=describe_files(staging),
        metadata=metadata,
        versions={**versions, **{tool: version(tool) for tool in TOOLS}},
    )


def _failure(report: VerificationReport) -> str:
    wrong = [check for check in report.checks if check.verdict != "passed"]
    lines = [f"  {check.file} in {check.runtime}: {check.verdict}, {check.detail}" for check in wrong]
    return "\n".join([f"{report.name} does not agree with eager PyTorch; nothing was written.", *lines])
