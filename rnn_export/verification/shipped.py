"""What is built of a bundle to be shipped: run on all golden vectors before it is written."""

import json
import traceback
from pathlib import Path
from typing import Any

from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import VerificationError
from rnn_export.runtimes.which_calls import MODES
from rnn_export.runtimes.worker import ERRORS, run
from rnn_export.signature.signature import Call
from rnn_export.verification.compare import FAILED, Check, Standard, compare


def compared(call: Call, bundle: Bundle, name: str, runtime: str) -> Check:
    """Run all golden vectors, whole, cut and step by step, and compare them with eager's results."""
    return compare(name, runtime, _results(call, bundle), Standard(bundle.cases, bundle.signature))


def check_passed(check: Check, target: Path) -> None:
    """Check that what was built agrees with eager PyTorch, or was not checked.

    Raises:
        VerificationError: it does not.
    """
    if check.verdict == FAILED:
        raise VerificationError(
            f"{target.name} does not agree with eager PyTorch: {check.detail}. Nothing was written."
        )


def _results(call: Call, bundle: Bundle) -> dict[str, Any]:
    """Run all cases: the results by the names that :mod:`rnn_export.runtimes.worker` gives them."""
    results: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for case in bundle.cases:
        for mode in MODES[case.kind]:
            if mode == "cut" and not bundle.signature.streamable:
                continue
            key = f"{case.name}/{mode}"
            try:
                found = case.kept(run(call, case, mode, bundle.signature))
            except Exception as error:  # whatever a runtime raises is a finding of this case
                errors[key] = "".join(traceback.format_exception_only(error)).strip()
                continue
            results |= {f"{key}/{number}": array for number, array in enumerate(found)}
    return {**results, ERRORS: json.dumps(errors)}
