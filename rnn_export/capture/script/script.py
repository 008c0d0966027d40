"""``torch.jit.script``: the sequence loop survives as ``prim::Loop``.

TorchScript and the ONNX exporter that reads it are deprecated upstream. Both stay behind this file.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import onnx
import onnx_ir as ir
import torch
from google.protobuf.message import DecodeError
from torch import nn
from torch.jit import _monkeytype_config, _recursive, _script, _state

from rnn_export.capture import traceable
from rnn_export.capture.free_numbers import asks_for_numbers
from rnn_export.capture.script import loop_to_onnx, source
from rnn_export.capture.script.aliases import line_that_changes_a_list, line_that_changes_an_entry
from rnn_export.capture.script.explained import explained, file_of, first_line, place_in
from rnn_export.capture.script.properties import readable
from rnn_export.errors import ScriptError, class_name
from rnn_export.exclusive import LOCK, without_warnings
from rnn_export.failures import users_line
from rnn_export.module.arranged import Arranged
from rnn_export.module.calling import agree
from rnn_export.module.counts import clamped
from rnn_export.module.output_length import all_longer, narrowed
from rnn_export.module.subject import Subject
from rnn_export.program.program import OPSET
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tree import wrap
from rnn_export.workers import Workers

WRAPPED = "model"  # the module's name inside the flat wrapper; part of the exporter's parameter names
LONGER = 3  # time steps or rows more than a trace was made of
SCRIPTED_STEPS = 3  # of the example: types and graphs do not depend on the number of time steps
SIMPLER = "Write its loop and its state in a simpler way."
LARGEST = 1 << 31  # bytes of a file in ONNX
INVALID = DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ir.serde.SerdeError


def script(subject: Subject) -> torch.jit.ScriptModule:
    """Compile a module with ``torch.jit.script``; its time loop stays a loop.

    Parameters without annotations get their types from the example (upstream does it with MonkeyType). A
    module that is called, or returns, in another way than ``(inputs, state) -> (outputs, state)`` gets a
    ``forward`` around it that does.

    Raises:
        ScriptError: TorchScript cannot compile it; names the module, the line and what to change.
    """
    with _compiler(subject.original), without_warnings(DeprecationWarning), torch.no_grad():
        try:
            scripted = _compiled(subject)
            overloaded = not scripted._c._has_method("forward")  # as torch.nn's recurrent layers are
            if isinstance(subject.model, Arranged):
                in_place = subject.calling.in_place
                text = source.arranged(subject.signature, subject.model, in_place, WRAPPED)
                scripted = _around(scripted, text)
            elif not subject.calling.plain or overloaded:
                scripted = _around(scripted, source.adapted(subject.signature, subject.calling, WRAPPED))
            else:  # one that returns Any, say, can be compiled and not be called
                _around(scripted, source.flat(subject.signature, WRAPPED))
            scripted.save_to_buffer()  # what cannot be saved is of no use
        except ScriptError:
            raise
        except Exception as error:
            raise explained(subject.original, error) from error
    return scripted


def _compiled(subject: Subject) -> torch.jit.ScriptModule:
    """Compile the module itself.

    One whose state may be left out is tried without it as well, so that the type of its state says so.
    """
    if isinstance(subject.original, torch.jit.ScriptModule):
        return subject.original
    if isinstance(subject.model, Arranged):
        source.check_dicts((subject.model.arguments.args, subject.model.results))
        example, named = subject.model.example
        compiled: torch.jit.ScriptModule = torch.jit.script(
            subject.original, example_inputs=None if named else [example]
        )
        return compiled
    [inputs], state = _short(subject)
    named = dict(zip((leaf.name for leaf in subject.signature.state), state, strict=True))
    takes = subject.calling.takes
    example = (inputs,) if takes is None else (inputs, wrap(takes, named))
    defaults = [
        parameter.default for parameter in inspect.signature(subject.model.forward).parameters.values()
    ]
    examples = [example, (inputs,)] if len(example) == 2 and defaults[1] is None else [example]
    scripted: torch.jit.ScriptModule = torch.jit.script(subject.model, example_inputs=examples)
    return scripted


def _around(scripted: torch.jit.ScriptModule, forward: str) -> torch.jit.ScriptModule:
    """Give a module with another ``forward`` that calls this one."""
    holder = nn.Module()
    holder.add_module(WRAPPED, scripted)
    wrapper: torch.jit.ScriptModule = torch.jit.script(holder.eval())
    wrapper.define(forward)
    return wrapper


def with_lengths(scripted: torch.jit.ScriptModule, signature: Signature) -> torch.jit.ScriptModule:
    """Let a module take lengths, if it is to: each row is run alone."""
    if not signature.lengths:
        return scripted
    with without_warnings(), _compiler(scripted):
        return _around(scripted, source.ragged(signature, WRAPPED))


def _short(subject: Subject, steps: int = SCRIPTED_STEPS) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Give the example's inputs, a few time steps of them, and the leaves of its state."""
    axes = tuple(spec.time_axis for spec in subject.signature.inputs)
    inputs, state = subject.arguments[: len(axes)], subject.arguments[len(axes) :]
    steps, counts = (
        max(steps, subject.signature.least),
        [spec.counts_steps for spec in subject.signature.inputs],
    )
    return list(clamped(narrowed(inputs, axes, steps), tuple(counts), steps)), state


def script_step(subject: Subject) -> torch.jit.ScriptModule:
    """Put a scripted time loop around the module's traced step: for what TorchScript cannot compile.

    Raises:
        ScriptError: the step cannot be traced either, or not be saved.
    """
    first, state = _short(subject, steps=1)
    with _compiler(subject.original), without_warnings(), torch.no_grad():
        # What a trace warns of, the verification that follows finds.
        try:
            traced = _traced_step(subject, (*first, *state))
            looped = _around(traced, source.loop(subject.signature, WRAPPED))
            looped.save_to_buffer()  # what cannot be saved is of no use
        except Exception as error:
            reason = f"the step of {class_name(subject.original)} cannot be traced: {first_line(error)}"
            remedy = "Keep Python decisions that depend on values out of forward()."
            raise ScriptError(f"{reason}. {remedy}", reason=reason) from error
    return looped


def _traced_step(subject: Subject, given: tuple[torch.Tensor, ...]) -> torch.jit.ScriptModule:
    """Trace a step: its operators one by one where TorchScript or ``torch.vmap`` inside fixes the rows."""
    flat: nn.Module = subject.flat().eval()
    other = all_longer(given, tuple(spec.batch_axis for spec in subject.signature.arguments), LONGER)
    try:
        traced = traceable.scripted(flat, given)
        traced(*other)
    except RuntimeError:
        if traceable.is_scripted(flat):
            return traceable.scripted(traceable.operators(flat, given), given)
        return traceable.scripted_operators(flat, given)
    return traced


def trace(subject: Subject) -> torch.jit.ScriptModule:
    """Trace a module over whole sequences, where TorchScript cannot compile it.

    A trace unrolls what is a loop in Python: one that gives something else for another number of time steps
    or of rows than eager does is refused here, and none is shipped that was not verified.

    Raises:
        ScriptError: it cannot be traced, saved, or holds for the example's sizes alone.
    """
    try:
        return _traced(subject, numbers=False)
    except ScriptError as error:
        if not asks_for_numbers(subject.original):
            raise
        try:
            return _traced(subject, numbers=True)
        except ScriptError:
            raise error from error.__cause__


def _traced(subject: Subject, *, numbers: bool) -> torch.jit.ScriptModule:
    signature, name = subject.signature, class_name(subject.original)
    with _compiler(subject.original), without_warnings(), torch.no_grad():
        flat = subject.flat().eval()
        try:
            traced = traceable.scripted(flat, subject.arguments, numbers=numbers)
            whole = _around(traced, source.traced(signature, WRAPPED))
            whole.save_to_buffer()  # what cannot be saved is of no use
        except Exception as error:
            reason, line = f"{name} cannot be traced: {first_line(error)}", users_line(error)
            message = (
                f"{reason}{line and f' ({line})'}. Keep Python decisions that depend on values out of it."
            )
            raise ScriptError(message, reason=reason) from error
        for axes in (
            [spec.time_axis for spec in signature.inputs] + [None] * len(signature.state),
            [spec.batch_axis for spec in signature.arguments],
        ):
            other = all_longer(subject.arguments, tuple(axes), LONGER)
            try:
                same = agree(traced(*other), flat(*other))
            except Exception as error:
                raise ScriptError(f"a trace of {name} holds for one size: {first_line(error)}") from error
            if not same:
                raise ScriptError(
                    f"a trace of {name} holds for the number of time steps and rows it was made of"
                )
    return whole


class LoopExport:
    """The export of a scripted module to ONNX as it stands: its loop becomes the operator ``Loop``.

    A worker has begun with it. The exporter is C++ of upstream's; a crash of it costs this form alone.
    """

    def __init__(self, scripted: torch.jit.ScriptModule, subject: Subject, workers: Workers) -> None:
        self._name = class_name(subject.original)
        graph = scripted.inlined_graph
        place = place_in(line_that_changes_a_list(graph) or line_that_changes_an_entry(graph))
        self._changes = place and "{2} ({0}:{1})".format(*place)
        request = {
            "task": "export_loop",
            "runtime": "torchscript",
            "blocked": subject.source_modules,
            "options": _options(subject.signature),
        }
        self._answer = workers.ahead(request, LARGEST, _content(scripted, subject))

    def model(self) -> onnx.ModelProto:
        """Wait for the model in ONNX.

        Raises:
            ScriptError: the exporter does not know one of the operations, crashes, or gives what is not ONNX.
        """
        answer, failure = self._answer.result()
        if failure:
            raise self._error(f"the exporter failed, {failure}", SIMPLER)
        if self._changes:
            reason = f"{self._changes} changes in place what is read elsewhere, in a list or as a whole"
            raise self._error(reason, "Make a new tensor there: x = x * 0.9 in the place of x.mul_(0.9).")
        content, reason = loop_to_onnx.read(answer)
        if reason:
            raise self._error(reason, "Replace the operation that is named.")
        try:
            model = onnx.load_from_string(content)
            onnx.checker.check_model(model, full_check=True)
            ir.from_proto(model)
        except INVALID as error:
            raise self._error(f"the exporter gives an invalid file, {first_line(error)}", SIMPLER) from error
        return model

    def last(self) -> onnx.ModelProto:
        """Give the model, as :meth:`model` does, for the last time: it is as large as the weights."""
        try:
            return self.model()
        finally:
            del self._answer

    def _error(self, reason: str, remedy: str) -> ScriptError:
        return ScriptError(f"the scripted {self._name} cannot be exported to ONNX: {reason}. {remedy}")


def _options(signature: Signature) -> dict[str, Any]:
    specs = [*zip(signature.input_names, signature.arguments, strict=True)]
    specs += zip(signature.output_names, signature.results, strict=True)
    return {
        "input_names": signature.input_names,
        "output_names": signature.output_names,
        "opset_version": OPSET,
        "free": {name: [(axis, str(spec.shape[axis])) for axis in spec.free_axes] for name, spec in specs},
    }


def _content(scripted: torch.jit.ScriptModule, subject: Subject) -> bytes:
    signature = subject.signature
    inputs, state = _short(subject)
    sizes, short = signature.sizes(inputs), [*inputs, *state]
    if signature.lengths:
        short.append(torch.full((sizes[BATCH],), sizes[TIME]))
    return loop_to_onnx.content(flat(scripted, signature), short)


def flat(scripted: torch.jit.ScriptModule, signature: Signature) -> torch.jit.ScriptModule:
    """Give a scripted module with every leaf of its state a parameter and a result of its own."""
    with without_warnings(), _compiler(scripted):
        return _around(scripted, source.flat(signature, WRAPPED))


@contextmanager
def _compiler(model: nn.Module) -> Iterator[None]:
    """Give TorchScript an empty memory, and put the old one back.

    Upstream keeps compiled types and traced argument types for the whole process: the second export of a
    class would get other names in its file, or the argument types of the first. MonkeyType skips modules
    that are installed in site-packages; here the model's own files are traced wherever they lie.
    """
    files = {file_of(type(module)) for module in model.modules()}
    trace_anyway = _monkeytype_config.jit_code_filter

    def code_filter(code: CodeType) -> bool:
        return code.co_filename in files or trace_anyway(code)

    fresh: list[tuple[Any, str, Any]] = [
        (_state, "_python_cu", torch._C.CompilationUnit()),
        (_recursive, "concrete_type_store", _recursive.ConcreteTypeStore()),
        (_script, "type_trace_db", _monkeytype_config.JitTypeTraceStore()),
        (_monkeytype_config, "jit_code_filter", code_filter),
    ]
    with LOCK, readable(model):
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in fresh]
        try:
            for owner, name, value in fresh:
                setattr(owner, name, value)
            yield
        finally:
            for owner, name, value in kept:
                setattr(owner, name, value)
