"""``rnn_export.optimize`` on mutated ONNX files: the package's own errors or a result, and never a crash."""

import tempfile
from pathlib import Path
from random import Random

import onnx

from rnn_export.optimizer import optimize
from trials import mutations, workers

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
FILES = ("rnn_scratch/variants/loop.onnx", "rnn_scratch/variants/scan.onnx", "rnn_scratch/model.onnx")
LIMIT = 1.0  # seconds of the processor, once everything is imported


def run(amount: int) -> str:
    """Try so many mutants.

    Raises:
        BrokenPromiseError: one is not refused as promised.
    """
    return workers.tried("trials.optimize", amount, LIMIT, "mutated ONNX files")


def attempt(number: int) -> str:
    """Optimize a mutant."""
    random = Random(number)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.onnx"
        content = (ARTIFACTS / random.choice((FILES[0], *FILES))).read_bytes()
        path.write_bytes(spoiled(content, random))
        done = optimize(path)
    return "rewritten" if done.form else "left as they are"


def spoiled(content: bytes, random: Random) -> bytes:
    """Spoil the bytes of a model, or its fields."""
    if random.random() < 0.2:
        return mutations.spoiled_bytes(content, random)
    model = onnx.load_model_from_string(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        mutations.spoil_message(model, random)
    return bytes(model.SerializeToString())
