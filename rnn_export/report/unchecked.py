"""What no check of a bundle covers, said as plainly as what was checked."""

from dataclasses import dataclass

from rnn_export.bundle.bundle import Bundle
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.verification.compare import NOT_CHECKED
from rnn_export.verification.verify import VerificationReport


@dataclass(frozen=True)
class Gap:
    """Something that was not checked or not written, and why."""

    what: str
    why: str


def gaps(bundle: Bundle, report: VerificationReport) -> list[Gap]:
    """List what was not checked: first what is particular to this bundle, then what no bundle checks."""
    return [
        *_of_files(report),
        *_of_numbers(report),
        *_of_calls(bundle, report),
        *_of_every_bundle(bundle, report),
    ]


def _of_files(report: VerificationReport) -> list[Gap]:
    unchecked = [
        Gap(f"{check.file} in {check.runtime}", f"Not checked: {check.detail}.")
        for check in report.checks
        if check.verdict == NOT_CHECKED
    ]
    left_out = (reason.partition(": ") for reason in report.left_out)
    return unchecked + [
        Gap(file, f"Left out: {reason or 'it could not be made'}.") for file, _, reason in left_out
    ]


def _of_numbers(report: VerificationReport) -> list[Gap]:
    weights = [Gap(name, "No golden vector notices a change of 1 % in it.") for name in report.unnoticed]
    functions = (reason.partition(": ") for reason in report.inexact)
    return weights + [
        Gap(f"{name} as exact as PyTorch's", f"In ONNX Runtime it {what}.") for name, _, what in functions
    ]


def _of_calls(bundle: Bundle, report: VerificationReport) -> list[Gap]:
    signature = bundle.signature
    found = []
    if signature.not_streamable_because:
        why = f"The net takes whole sequences only: {signature.not_streamable_because}."
        found.append(Gap("Sequences cut in pieces, streaming", why))
    if not signature.returns_state and signature.state:
        found.append(Gap("The state after a call", "The module does not return it, so no file does."))
    horizon = report.dynamics.horizon if report.dynamics else None
    if horizon is not None:
        why = (
            f"The net amplifies rounding: after {horizon} time steps no two implementations need agree. "
            "What was checked beyond is every single step."
        )
        found.append(Gap(f"Agreement of runs longer than {horizon} time steps", why))
    return found


def _of_every_bundle(bundle: Bundle, report: VerificationReport) -> list[Gap]:
    times, batches = report.grid["time"], report.grid["batch"]
    versions = bundle.manifest.versions
    known = {runtime.package for runtime in RUNTIMES.values()}
    ran = ", ".join(f"{tool} {version}" for tool, version in versions.items() if tool in known)
    machine = "The checks ran on one processor. Others round differently, within the same bounds as a rule."
    return [
        Gap(
            f"Runs longer than {max(times, default=0)} time steps, batches over {max(batches, default=0)}",
            f"Tried were T in {_listed(times)} and B in {_listed(batches)}. Both stay free in every file.",
        ),
        Gap(
            "Other inputs",
            "Inputs and states were drawn at random, like the example. Your own data were not tried.",
        ),
        Gap("Other processors", machine),
        Gap("GPUs and other accelerators", "No file was run on one."),
        Gap(
            "Other runtimes and versions",
            f"Checked with {ran}. OpenVINO, tract, browsers, phones and other releases were not.",
        ),
        Gap("Training", "The files compute outputs, no gradients."),
    ]


def _listed(numbers: list[int]) -> str:
    return f"{{{', '.join(map(str, numbers))}}}"
