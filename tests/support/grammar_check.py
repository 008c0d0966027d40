"""Export random models of the grammar, and compare their files with eager at sizes that they have not seen.

python -m tests.support.grammar_check 0 300     print how many of these were exported, and why not
"""

import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import rnn_export
from rnn_export.errors import RnnExportError
from rnn_export.signature.tree import tree_leaves
from tests.support.grammar import sentence

SIZES = ((2, 1), (5, 4), (24, 3))  # time steps and rows
EXPORTED, REFUSED, WRONG, FOREIGN = "exported", "refused", "wrong", "foreign"


def judge(number: int, folder: Path) -> tuple[str, str]:
    """Export a model; say what became of it, and why."""
    made = sentence(number)
    model = made.model
    torch.manual_seed(number)
    try:
        bundle = rnn_export.export(model, made.draw(12, 3), folder)
    except RnnExportError as error:
        return REFUSED, str(error)
    except Exception as error:  # a fault of this package, whatever it is
        return FOREIGN, f"{type(error).__name__}: {error}"
    signature = bundle.signature
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"))
    for steps, batch in SIZES:
        args = made.draw(max(steps, signature.least), batch)
        with torch.no_grad():
            want = [leaf.numpy() for leaf in tree_leaves(model(*args))]
        given = dict(zip(signature.file_inputs, [leaf.numpy() for leaf in tree_leaves(args)], strict=False))
        starts = zip([leaf.name for leaf in signature.state], signature.initial_state(batch), strict=True)
        got = session.run(signature.file_outputs[: len(want)], dict(starts) | given)
        for name, one, other in zip(signature.file_outputs, got, want, strict=False):
            if one.shape != other.shape or not np.allclose(one, other, rtol=1e-4, atol=1e-5):
                return WRONG, f"{name} for {args[0].shape if hasattr(args[0], 'shape') else 'a dict'}"
    return EXPORTED, f"{bundle.manifest.form}, {'streams' if signature.streamable else 'whole'}"


def main(first: int, end: int) -> None:
    """Judge some models and print the counts, with each that was not exported."""
    warnings.simplefilter("ignore")
    found = Counter[str]()
    for number in range(first, end):
        with tempfile.TemporaryDirectory() as folder:
            outcome, detail = judge(number, Path(folder) / "b")
        found[outcome] += 1
        if outcome != EXPORTED:
            sys.stdout.write(f"{outcome} {sentence(number)}: {detail}\n")
            sys.stdout.flush()
    sys.stdout.write(", ".join(f"{count} {outcome}" for outcome, count in found.items()) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
