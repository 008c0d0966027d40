"""Every file that can be written of a model: the fourth stage of an export."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import onnx_ir as ir
from onnx import ModelProto

from rnn_export.backends import onnx, torch_export, torchscript
from rnn_export.backends.c.write.model import compile_program
from rnn_export.backends.onnx_weights import with_small_weights
from rnn_export.bundle.layout import (
    LOOP,
    MODEL_C,
    MODEL_H,
    MODEL_PT,
    MODEL_PT2,
    NOT_ASKED,
    STEP_ONNX,
    WEIGHTS,
    variant,
)
from rnn_export.capture.capture import refusal
from rnn_export.capture.onnx_file.opset import at_opset
from rnn_export.capture.script import script
from rnn_export.errors import CaptureError, CompileError, OnnxFileError, PassError, ScriptError
from rnn_export.failures import explain
from rnn_export.passes.forms import Improved
from rnn_export.program.operator_facts import inexact_functions
from rnn_export.program.program import Program
from rnn_export.program.small_weights import FLOAT32

PREFIX = f"{script.WRAPPED}."  # what exporters put before the names of the parameters


@dataclass(frozen=True)
class Written:
    """The files of a model in a folder, not verified yet.

    Attributes:
        improved: what they were written from.
        folder: where they are: ``model.pt``, ``model.c``, both if they could be made, and every form in
            ``variants/``.
        name: what the model is called in them.
        metadata: what the user has to say of it.
        left_out: why a file could not be written.
        inexact: of each variant, the functions that ONNX Runtime computes less exactly.
        kept: of each file, the matrices in float32 where smaller weights are asked for.
        weights: the format of the other matrices.
        opset: the one that was asked for, if any was.
    """

    improved: Improved
    folder: Path
    name: str
    metadata: Mapping[str, str]
    left_out: tuple[str, ...]
    inexact: Mapping[str, list[str]]
    kept: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: str = FLOAT32
    opset: int | None = None

    def with_step(self, *, exact: bool = False) -> "Written":
        """Write one time step beside the forms, if the model streams, or say why it cannot be written.

        One that is ``exact`` lacks the functions that ONNX Runtime computes less exactly.
        """
        signature = self.improved.captured.subject.signature
        if not (signature.streamable and signature.timed):
            return self
        try:
            step = self.improved.one_step(exact=exact)
            if step is None:
                return self._without_step("no single time step of the module could be captured")
            inexact, kept = inexact_functions(step.model), list[str]()
            model, name = step.model, self.name
            made = onnx.finish(model, signature, name, self.metadata, prefix=PREFIX, one_step=True)
            if self.weights != FLOAT32:
                made, kept = with_small_weights(made, self.weights)
            made = made if self.opset is None else at_opset(made, self.opset)
        except (PassError, OnnxFileError) as error:
            return self._without_step(str(error))
        except Exception as error:  # the other files do without it
            return self._without_step(f"{explain('writing it', error)}. Please report it.")
        onnx.write(made, self.folder / STEP_ONNX)
        return replace(
            self,
            inexact={**self.inexact, STEP_ONNX: inexact},
            kept={**self.kept, STEP_ONNX: tuple(kept)},
        )

    def _without_step(self, reason: str) -> "Written":
        return replace(self, left_out=(*self.left_out, f"{STEP_ONNX}: {reason}"))

    def with_forms(self, improved: Improved, models: Iterable[tuple[str, ir.Model]]) -> "Written":
        """Write forms beside those that are there, as far as the opset has what is in them: one at a time.

        Args:
            improved: has them beside others.
            models: they, and a loop that is none of them; they are changed.

        Raises:
            OnnxFileError: none can be written for the opset that is asked for.
        """
        inexact, wide, known = dict(self.inexact), dict(self.kept), {*self.improved.forms}
        signature, reasons = improved.captured.subject.signature, list[str]()

        def finished() -> Iterator[tuple[str, ModelProto]]:
            for form, model in models:
                inexact[variant(form)] = inexact_functions(model)
                made = onnx.finish(model, signature, self.name, self.metadata, prefix=PREFIX)
                if self.weights != FLOAT32:
                    made, names = with_small_weights(made, self.weights)
                    wide[variant(form)] = tuple(names)
                yield form, made

        for form, made in forms_at(finished(), self.opset, reasons):
            onnx.write(made, self.folder / variant(form))
            known.add(form)
        kept = {form: program for form, program in improved.forms.items() if form in known}
        return replace(
            self,
            improved=replace(improved, forms=kept),
            left_out=(*self.left_out, *reasons),
            inexact=inexact,
            kept=wide,
        )


def unbuilt(source: Path) -> None:
    """Build nothing."""


def write_files(
    improved: Improved,
    folder: Path,
    name: str,
    metadata: Mapping[str, str],
    opset: int | None = None,
    weights: str = FLOAT32,
    *,
    c: bool = True,
    pt2: bool = False,
    built: Callable[[Path], None] = unbuilt,
) -> Written:
    """Write ``model.pt``, ``model.c`` and ``model.pt2`` if they are wanted, and every form as a variant.

    What cannot be made is left out. Matrices that are rounded to the format of ``weights`` are written in it,
    but in ``model.pt`` and ``model.pt2``. ``built`` is told of ``model.c`` as soon as that is there, and may
    build it while the others are written.

    Raises:
        ModelError: no form can be written.
        OnnxFileError: none can be written for the opset that is asked for.
    """
    captured = improved.captured
    kept = dict[str, tuple[str, ...]]()
    left_out = [*captured.left_out, *improved.left_out]
    left_out += _write_c(improved, folder, name, weights, kept) if c else [f"{MODEL_C}: {NOT_ASKED}"]
    built(folder / MODEL_C)
    if captured.module is not None:
        torchscript.write(captured.module, folder / MODEL_PT)
    left_out += _write_pt2(improved, folder) if pt2 else []
    loop, reasons = _loop(improved)
    models = chain(copies(improved.forms), loop)
    left_out += reasons
    bare = replace(improved, forms={})
    written = Written(bare, folder, name, metadata, tuple(left_out), {}, kept, weights, opset)
    return written.with_forms(improved, models).with_step()


def copies(forms: Mapping[str, Program]) -> Iterator[tuple[str, ir.Model]]:
    """Give the models of forms, to be changed, each when it is asked for."""
    return ((form, program.copy().model) for form, program in forms.items())


def forms_at(
    models: Iterable[tuple[str, ModelProto]], opset: int | None, reasons: list[str]
) -> Iterator[tuple[str, ModelProto]]:
    """Give the forms at an opset, and add why some cannot be written for it; without one, as they are.

    Raises:
        OnnxFileError: none can be.
    """
    written = 0
    for form, model in models:
        try:
            made = model if opset is None else at_opset(model, opset)
        except OnnxFileError as error:
            reasons.append(f"{variant(form)}: {error}")
            continue
        written += 1
        yield form, made
    if not written and reasons:
        raise OnnxFileError(f"{'; '.join(reasons)}. Ask for another opset.")


def _loop(improved: Improved) -> tuple[list[tuple[str, ir.Model]], list[str]]:
    """Give the scripted loop as a form, if there is one; give the reason if it cannot be exported."""
    captured = improved.captured
    if captured.loop is None:
        return [], []
    try:
        return [(LOOP, ir.from_proto(captured.loop.last()))], []
    except ScriptError as error:
        if not improved.forms:
            raise refusal(captured.subject, error) from error
        return [], [f"{variant(LOOP)}: {error}"]


def _write_pt2(improved: Improved, folder: Path) -> list[str]:
    """Write the step as an exported program; give the reason if it cannot be done."""
    try:
        torch_export.write(improved.captured.subject, folder / MODEL_PT2)
    except CaptureError as error:
        return [f"{MODEL_PT2}: {error}"]
    except Exception as error:  # the other files do without it
        return [f"{explain(f'{MODEL_PT2}: writing it', error)}. Please report it."]
    return []


def _write_c(
    improved: Improved, folder: Path, name: str, weights: str, kept: dict[str, tuple[str, ...]]
) -> list[str]:
    """Write the step as C; give the reason if it cannot be done."""
    if improved.dense is None:
        return [f"{MODEL_C}: no single time step of the module could be captured"]
    try:
        files = compile_program(improved.dense, improved.captured.subject.signature, name, PREFIX, weights)
    except CompileError as error:
        return [f"{MODEL_C}: {error}"]
    except Exception as error:  # the other files do without it
        return [f"{explain(f'{MODEL_C}: writing it', error)}. Please report it."]
    (folder / MODEL_C).write_text(files.source)
    (folder / MODEL_H).write_text(files.header)
    if files.weights:
        (folder / WEIGHTS).write_bytes(files.weights)
    kept[MODEL_C] = files.kept
    return []
