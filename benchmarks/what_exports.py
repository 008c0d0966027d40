"""Export one net of each kind of call and write what became of it into docs/what-exports.md.

    python benchmarks/what_exports.py           print the table: some minutes
    python benchmarks/what_exports.py --write   write it into the page

The nets are those of ``calls.py``, ``general_calls.py``, ``whole_models.py`` and ``inline_loops.py`` in
``tests/support``. One that streams was exported as a loop around one time step, or as ONNX's recurrent
operators; one that does not as a graph for whole sequences. The error is the worst of ``model.onnx`` in
ONNX Runtime from eager PyTorch in float64, over all calls that are tried; beside it stands that of eager
PyTorch in float32 on the same calls.
"""

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import rnn_export
from rnn_export.bundle.layout import MODEL_C, MODEL_PT
from rnn_export.verification.verify import VerificationReport
from tests.support.calls import CALLS, WHOLE
from tests.support.general_calls import GENERAL
from tests.support.inline_loops import NETS as INLINE
from tests.support.whole_models import MODELS

PAGE = Path(__file__).parents[1] / "docs" / "what-exports.md"
START = "| net |"
SIZES = 9, 3, 5  # time steps, rows, and places of contexts
ONNX = "model.onnx"


def nets() -> Iterator[tuple[str, nn.Module, tuple[Any, ...], dict[str, Any]]]:
    """Give each net with the arguments of a call."""
    time, batch, places = SIZES
    for name, call in {**CALLS, **{name: whole[0] for name, whole in WHOLE.items()}}.items():
        torch.manual_seed(0)
        yield name, call.make().eval(), *call.draw(time, batch)
    for name, general in GENERAL.items():
        torch.manual_seed(0)
        yield name, general.make().eval(), general.draw(time, batch, places), {}
    for name, whole in MODELS.items():
        torch.manual_seed(0)
        yield name, whole.make().eval(), whole.draw(time, batch), {}
    for name, (make, draw, *_) in INLINE.items():
        torch.manual_seed(0)
        yield f"loops: {name}", make().eval(), draw(), {}


def row(name: str, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], folder: Path) -> str:
    """Export a net; give its row of the table."""
    bundle = rnn_export.export(model, args, folder, kwargs=kwargs)
    signature, files = bundle.signature, bundle.manifest.files
    takes = ", ".join(f"{spec.name} `{spec}`" for spec in (*signature.inputs, *signature.state))
    gives = ", ".join(f"{spec.name} `{spec}`" for spec in signature.outputs)
    report = VerificationReport.stored(bundle.manifest)
    [worst] = [check.worst for check in report.checks if (check.file, check.runtime) == (ONNX, "onnxruntime")]
    assert worst is not None
    there = ["yes" if file in files else "no" for file in (MODEL_C, MODEL_PT)]
    form = bundle.manifest.form if signature.streamable else f"whole, {bundle.manifest.form}"
    streams = "yes" if signature.streamable else "no"
    errors = f"{worst.error:.1e} | {worst.eager:.1e}"
    return f"| {name} | {takes} | {gives} | {form} | {streams} | {' | '.join(there)} | {errors} |"


def main() -> None:
    """Write or print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write it into docs/what-exports.md")
    asked = parser.parse_args()
    lines = [
        "| net | takes | gives | exported as | streams | C | TorchScript | worst error | eager's own |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, net in enumerate(nets()):
            lines.append(row(*net, Path(folder) / str(number)))
            print(lines[-1], flush=True)
    if asked.write:
        text = PAGE.read_text()
        PAGE.write_text(f"{text[: text.index(START)]}{chr(10).join(lines)}\n")


if __name__ == "__main__":
    main()
