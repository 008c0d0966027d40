"""Why no axes of an example can be time and batch, or several can, and what settles it."""

from collections.abc import Sequence
from typing import Any

from rnn_export.errors import InputError, ModelError, RnnExportError, mismatch
from rnn_export.module.calling import ANOTHER_EXAMPLE, OpenAxesError, OtherCallError, Reading, describe
from rnn_export.module.candidates import Pair, Said, ways_to_say
from rnn_export.module.output_length import Inputs

DISTINCT = "Pass an example whose number of time steps, batch and other sizes are all different."


def refusal(
    found: Sequence[Pair],
    failures: Sequence[RnnExportError],
    plain: Reading,
    inputs: Inputs,
    state: Any,
    said: Said,
    names: Sequence[str],
) -> RnnExportError:
    """Give the error for axes that were not found.

    Args:
        found: the axes that may be time and batch, if there are several.
        failures: why a call of one time step more failed.
        plain: what the module made of the example.
        inputs: the example's.
        state: the example's, or ``None``.
        said: what the user says of the axes.
        names: what each input is called.
    """
    if not found and not any(output.dim() for output in plain.outputs):
        got, remedy = describe(plain.outputs[0]), "Return them, not a loss or a mean over them."
        return ModelError(mismatch("result of forward()", "outputs of every row", got, remedy))
    if not found and len(inputs) == 1 and inputs[0].dim() <= 1 + inputs[0].is_floating_point():
        got = f"{describe(inputs[0])}, of which no two axes may grow"
        remedy = "Add the axis of the batch: inputs[:, None] behind time, or inputs[None] in front of it." + (
            " Or export it with step=True, if that is one time step."
            if state is not None
            else " If forward() takes a row alone, by view(len(x), 1, -1) say, let it take several first."
        )
        return InputError(mismatch("example 'inputs'", "an axis for time and one for the batch", got, remedy))
    if not found and failures:
        remedy = "It has to take any number of them."
        if said.words:
            remedy = f"{said.words} was said of the axes: leave it out, and they are found."
        # a list with a tensor for each of the layers, as many as there are rows, is none of time steps
        many = f"one more time step is too many. {without_remedy(str(failures[0]))} {remedy}"
        other = any(isinstance(each, OtherCallError) for each in failures)
        return OtherCallError(many) if other else ModelError(many)
    given = describe(inputs[0] if len(inputs) == 1 else inputs)
    got = f"{given}, where several fit" if found else f"{given}, where none fits"
    if any(not bool(tensor.isfinite().all()) for tensor in inputs if tensor.is_floating_point()):
        remedy = "Some of its numbers are NaN or infinite, which tells nothing. Pass finite ones."
    else:
        remedy = f"{DISTINCT}{ways_to_say(found, inputs, names)}"
    kind = OpenAxesError if found else InputError
    return kind(mismatch("example 'inputs'", "to see which axis is time and which is batch", got, remedy))


def without_remedy(failure: str) -> str:
    """Leave out what to do about an example that fails: where another call is at fault."""
    return failure.removesuffix(f" {ANOTHER_EXAMPLE}")
