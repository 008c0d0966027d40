"""``rnn_export.export``: from a module to a bundle, in the stages of the picture in docs/how-it-works.md."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from rnn_export.backends.write import write_files
from rnn_export.bundle.bundle import Bundle, Manifest, check_target, staged
from rnn_export.bundle.layout import MODEL_C, MODEL_PT2
from rnn_export.bundle.weights import weights_text
from rnn_export.capture.capture import capture
from rnn_export.capture.onnx_file.opset import check_opset
from rnn_export.errors import DisagreementError, InputError, ModelError, class_name, mismatch
from rnn_export.failures import typed
from rnn_export.garbage import give_back
from rnn_export.module.asked import check_asked
from rnn_export.module.candidates import Said
from rnn_export.module.fold_check import DISAGREES
from rnn_export.module.inspection import as_whole_sequences, inspect_export
from rnn_export.module.rounded_weights import RoundedWeights, check_format, with_rounded_weights
from rnn_export.module.subject import Subject
from rnn_export.passes.forms import improve
from rnn_export.program.program import OPSET
from rnn_export.program.small_weights import FLOAT32
from rnn_export.progress import ProgressCallback, watched
from rnn_export.report.page import REPORT
from rnn_export.report.write import write_report
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.verification.choose import check_demand, choose_form
from rnn_export.verification.verdict import check_runtimes, demanded, left_out_word
from rnn_export.verification.verify import VerificationReport, workers_ahead
from rnn_export.verification.verify_export import verify_files
from rnn_export.verification.weights_cost import weights_facts
from rnn_export.workers import Workers

REMEDY = "Nothing was written. Change what stands in that line if it is yours; if not, please report it."


def export(
    model: nn.Module,
    args: Any,
    folder: str | Path,
    *rest: Any,
    kwargs: Mapping[str, Any] | None = None,
    axes: Mapping[str, Sequence[str | None]] | None = None,
    roles: Mapping[str, str] | None = None,
    batch_first: bool | None = None,
    step: bool = False,
    lengths: bool = False,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
    require: str | Sequence[str] = (),
    opset: int | None = None,
    weights: str = FLOAT32,
    c: bool = True,
    pt2: bool = False,
    quick: bool = False,
    progress: ProgressCallback | bool | None = None,
) -> Bundle:
    """Export a recurrent module as a bundle, every file proven equal to eager PyTorch.

    Args:
        model: is called ``model(*args, **kwargs)``. It takes inputs, or inputs and a state, and returns
            outputs, or outputs and the new state, in tuples, lists, dicts, named tuples or dataclasses,
            anywhere among its arguments and results. An output is that of all time steps, in one tensor or in
            a list, or that of the last one. A copy in eval mode, on the CPU, is exported; the module itself
            is not changed.
        args: the positional arguments of one call, an example: a tensor, ``(inputs, state)``, or any others.
            A tensor that comes back is a state. All others are inputs: sequences, with axes for time and
            batch wherever they stand, or contexts, which have no time axis. Floats are of the dtype of the
            parameters (float32 or float64), or of half precision; others are int64 or bool. Every tensor has
            a batch axis. T and B stay free in every file, and sizes of contexts that may be others.
        kwargs: the keyword arguments of the call.
        axes: which axis of an input is which, where trying leaves it open: ``{"inputs": ("batch", "time",
            None)}``, by the names of parameters, keys or fields.
        roles: what an argument is, where trying leaves it open: ``{"speaker": "context"}``, ``"sequence"`` or
            ``"state"``.
        batch_first: whether the batch stands in front of the time in all sequences, where that is left open.
        folder: where the bundle goes. It appears there after everything was verified, whole.
        step: whether the model takes a single time step, and its state: its inputs have no time axis in the
            example then. The files run it over any number of steps, the time axis in front; an input whose
            role is ``"context"`` is that of every step.
        lengths: whether the files take the number of time steps of each row as well, int64 ``lengths[B]``.
            After the end of a row its outputs are zero and its state stops changing; the padding of the
            inputs has no effect, even if it is NaN.
        name: what the model is called in its files; the folder's name unless given.
        rest: nothing; what stands there is named in an error.
        metadata: strings that travel with the model, in the manifest and in the ONNX files.
        overwrite: whether to replace a bundle that is there.
        require: what has to be in the bundle and to have passed, or nothing is written: endings of
            ``model.*``, as ``["c", "onnx"]``, or runtimes.
        opset: the version of ONNX's operators that the ONNX files are written for; 18 unless given.
        weights: ``"int8"`` or ``"bf16"`` rounds the matrices: to int8 with a scale for each output channel,
            or to bfloat16. Biases, and all that is computed, stay in float32. Every file is compared with the
            module that has the rounded weights; the manifest and the report say what rounding costs on the
            example, and which matrices are in float32 all the same.
        c: whether to write ``model.c``.
        pt2: whether to write ``model.pt2``, the module in TorchScript's successor ``torch.export``, which
            takes some seconds more.
        quick: whether to verify at few sizes only, which the verdict and the manifest then say: for a first
            look at a large model.
        progress: is called with the stage, the number of parts that are done, and the number of parts.
            Without it a terminal or a notebook shows them, and the verdict at the end; ``False`` is silence.

    Raises:
        InputError: the example is not what the module takes, or something unknown is required.
        ModelError: the module cannot be exported.
        BundleError: the folder exists or cannot be written, or the bundle is larger than any that is read.
        VerificationError: a file does not agree with eager PyTorch, or one that is required is not there.
        OnnxFileError: there is no such opset, or no form of the model can be written for it.
        RuntimeUnavailableError: a file that is required cannot be checked here.

    On any error nothing is written, and a bundle that was there is untouched.
    """
    check_asked(
        args,
        folder,
        rest,
        kwargs=kwargs,
        axes=axes,
        roles=roles,
        batch_first=batch_first,
        name=name,
        metadata=metadata,
        progress=progress,
        step=step,
        lengths=lengths,
        overwrite=overwrite,
        c=c,
        pt2=pt2,
        quick=quick,
    )
    folder = Path(folder)
    check_target(folder, overwrite=overwrite)
    check_opset(opset, f"Leave it out for {OPSET}.")
    check_format(weights)
    required = demanded(require)
    check_runtimes(required)
    _check_pt2(required, pt2=pt2)
    name, said = name or folder.resolve().name, Said(axes or {}, roles or {}, batch_first)
    what = f"the export of {class_name(model)}"
    with watched(progress) as watch, typed(what, ModelError, REMEDY), workers_ahead() as workers:
        model, rounding = with_rounded_weights(model, args, kwargs, weights)
        subject = inspect_export(model, args, kwargs=kwargs, step=step, lengths=lengths, said=said)
        finish = partial(
            _export,
            folder=folder,
            name=name,
            metadata=metadata or {},
            progress=watch.report,
            workers=workers,
            overwrite=overwrite,
            required=required,
            opset=opset,
            weights=rounding,
            c=c,
            pt2=pt2,
            quick=quick,
        )
        try:
            manifest = finish(subject)
        except DisagreementError as error:
            if not error.streamed:
                raise
            first = str(error).splitlines()[-1].strip()
            whole = as_whole_sequences(subject, f"{DISAGREES}: {first}")
            manifest = finish(whole)
        watch.say(_in_the_end(folder, manifest))
    return Bundle(folder, manifest)


def _check_pt2(required: Sequence[str], *, pt2: bool) -> None:
    """Check that what is required is asked for.

    Raises:
        InputError: it is not.
    """
    runtimes = [runtime for runtime in RUNTIMES.values() if MODEL_PT2.endswith(runtime.suffix)]
    words = {word for runtime in runtimes for word in (runtime.name, runtime.suffix.removeprefix("."))}
    for word in words & {*required} if not pt2 else ():
        remedy = f"Ask for {MODEL_PT2}: pt2=True (--pt2)."
        raise InputError(mismatch("require", "a file that is written", repr(word), remedy))


def _in_the_end(folder: Path, manifest: Manifest) -> list[str]:
    """Say what was left out, how the files did, how to run them, and where the report is."""
    report = VerificationReport.stored(manifest)
    of_c = ', runtime="c"' if any(check.file == MODEL_C for check in report.checks if check.measures) else ""
    name = shlex.quote(str(folder))
    return [
        *(f"{left_out_word(reason)} {reason.splitlines()[0]}" for reason in report.left_out),
        f"{folder}: {report.verdict}",
        *weights_text(manifest.weights),
        f'run it: rnn_export.load("{folder}"{of_c}); which file is the fastest here: rnn-export bench {name}',
        f"report: {folder / REPORT}",
    ]


def _export(
    subject: Subject,
    *,
    folder: Path,
    name: str,
    metadata: Mapping[str, str],
    progress: ProgressCallback,
    workers: Workers,
    overwrite: bool,
    required: Sequence[str],
    opset: int | None,
    weights: RoundedWeights,
    c: bool,
    pt2: bool,
    quick: bool,
) -> Manifest:
    """Go through the stages from a module that was looked at to a bundle; give its manifest."""
    with staged(folder, overwrite=overwrite) as staging:
        give_back()  # what each stage leaves behind
        captured = capture(subject, progress, workers)
        improved = improve(captured)
        give_back()
        progress("Writing the files", 2, 3)
        built = partial(workers.prepare, "c")
        written = write_files(
            improved, staging, name, metadata, opset, weights.kind, c=c, pt2=pt2, built=built
        )
        give_back()
        verified = verify_files(written, progress, workers, quick=quick)
        chosen = choose_form(verified)
        check_demand(VerificationReport.stored(chosen.manifest), required)
        facts = weights_facts(subject, weights, chosen.kept)
        complete = write_report(chosen.folder, replace(chosen.manifest, weights=facts))
        Bundle.open(staging)  # nothing is written that could not be read
    return complete.manifest
