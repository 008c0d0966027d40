"""The passes on a captured module: the third stage of an export."""

from dataclasses import dataclass, replace
from typing import Any

from rnn_export.capture.capture import Captured
from rnn_export.errors import LengthsError
from rnn_export.passes import one_step
from rnn_export.passes.choose import EXACT, rank
from rnn_export.passes.operators.exact_sigmoid import exact_sigmoid
from rnn_export.passes.pipeline import Stage, forms_of, optimize, run
from rnn_export.program.program import Program

STEP = "step"  # the form that is one loop around the whole step
DENSE = "layers"  # the pass after which a Program is as simple as it gets, and takes no lengths yet


@dataclass(frozen=True)
class Improved:
    """A captured module, and what the passes made of its Program.

    Attributes:
        captured: the module.
        stages: the Program after each pass; none if there is no Program.
        forms: the Programs that are worth shipping, by name.
        left_out: why there are no forms, if there should be some.
    """

    captured: Captured
    stages: tuple[Stage, ...]
    forms: dict[str, Program]
    left_out: tuple[str, ...] = ()

    @property
    def dense(self) -> Program | None:
        """The simplest Program without lengths, which C is written from."""
        return next((stage.program for stage in self.stages if stage.name == DENSE), None)

    def one_step(self, *, exact: bool = False) -> Program | None:
        """Give one time step in plain operators, if there is a Program of which single steps can be taken.

        One that is ``exact`` lacks the functions that ONNX Runtime computes less exactly.

        Raises:
            PassError: a time step is more than plain operators.
        """
        whole = next((stage.program for stage in self.stages if stage.form == STEP), None)
        if whole is None:
            return None
        step = one_step.one_step(whole)
        return exact_sigmoid(step) if exact else step

    @property
    def summary(self) -> list[dict[str, Any]]:
        """How many of each operator there are after each pass, as the manifest has it."""
        return [
            {"name": stage.name, "form": stage.form, "operators": dict(sorted(stage.operators().items()))}
            for stage in self.stages
        ]

    def with_exact(self) -> "Improved":
        """Add a form without the functions that ONNX Runtime computes less exactly, if there are such."""
        loops = next((self.forms[form] for form in ("scan", "step") if form in self.forms), None)
        exact = loops and run(exact_sigmoid, loops)
        return self if exact is None or exact is loops else replace(self, forms={**self.forms, EXACT: exact})


def improve(captured: Captured) -> Improved:
    """Run the passes on a captured module; give no forms if it has no Program, or none that takes lengths."""
    if captured.program is None:
        return Improved(captured, (), {})
    subject = captured.subject
    try:
        stages = optimize(replace(captured.program, signature=subject.signature))
    except LengthsError as error:
        return Improved(captured, (), {}, (str(error),))
    return Improved(captured, tuple(stages), _worth_shipping(stages, subject.steps, subject.batch))


def _worth_shipping(stages: list[Stage], steps: int, batch: int) -> dict[str, Program]:
    """Give the forms of a Program, the one as it was captured only where it is the fastest."""
    forms = forms_of(stages)
    if "scan" in forms and rank(forms, steps, batch)[0] != "step":
        del forms["step"]
    return forms
