"""Build and verify the committed bundles, artifacts/rnn_scratch and artifacts/char_rnn. Run: make artifacts

The first is the net of the notebook that the project started from, untrained: 16 inputs, 32 hidden units, one
output, 100 time steps, batch 2. The second is the character model that scripts/train_char_rnn.py trained.

A bundle that is there is verified, and compared with one that is built anew: the models have to be the same
bytes. Eager's results, and with them the golden vectors, differ in the last bit from processor to processor,
so the committed bundle stays as it is unless ``--replace`` is given.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import nn
from train_char_rnn import WEIGHTS, build_model

from rnn_export.bundle.bundle import Bundle
from rnn_export.cli.terminal import escape, line, progress, reporting, show
from rnn_export.errors import BundleError
from rnn_export.exporter import export
from rnn_export.models import RNNScratch
from rnn_export.verification.verify import VerificationReport, verify

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
CPU = torch.device("cpu")
MEASURED = {
    "README.md",
    "report.html",
    "golden/index.json",
    "golden/tensors.bin",
}  # they hold results of eager PyTorch
CLOSE = 1e-5  # of results of eager PyTorch on two processors, relative to the largest of a tensor

Recipe = tuple[nn.Module, Any, dict[str, str]]


def rnn_scratch() -> Recipe:
    """Give the notebook's net and run."""
    torch.manual_seed(0)
    model = RNNScratch(num_inputs=16, num_hiddens=32, num_outputs=1)
    return model, (torch.rand(100, 2, 16), model.begin_state(2, CPU)), {}


def char_rnn() -> Recipe:
    """Give the trained character model; its example holds every character of the vocabulary."""
    with np.load(WEIGHTS, allow_pickle=False) as archive:
        vocabulary = str(archive["vocabulary"])
        weights = {name: torch.from_numpy(archive[name]) for name in archive.files if name != "vocabulary"}
    model = build_model(vocabulary)
    model.load_state_dict(weights)
    tokens = torch.arange(12 * 8).reshape(12, 8) % len(vocabulary)
    return model.eval(), (tokens, model.begin_state(8, CPU)), {"vocabulary": vocabulary}


RECIPES = {"rnn_scratch": rnn_scratch, "char_rnn": char_rnn}


def build(name: str, folder: Path) -> Bundle:
    """Export a bundle, over the one that is there."""
    model, example, metadata = RECIPES[name]()
    with progress() as report_progress:
        return export(
            model, example, folder / name, metadata=metadata, overwrite=True, progress=report_progress
        )


def differences(committed: Bundle, rebuilt: Bundle) -> list[str]:
    """Name what differs between two bundles of one model, and may not differ on any processor."""
    old, new = committed.manifest, rebuilt.manifest
    found = [
        file
        for file in sorted({*old.files, *new.files} - MEASURED)
        if old.files.get(file) != new.files.get(file)
    ]
    facts = ("name", "signature", "metadata", "passes", "form")
    found += [f"manifest.json, {fact}" for fact in facts if getattr(old, fact) != getattr(new, fact)]
    one, other = ({case.name: case for case in bundle.cases} for bundle in (committed, rebuilt))
    unlike = [
        name
        for name in sorted({*one, *other})
        if name not in one or name not in other or not _close(one[name].arrays, other[name].arrays)
    ]
    return found + [f"golden vector {name}" for name in unlike]


def _close(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether numbers are the same up to the rounding of processors."""
    return [array.shape for array in one] == [array.shape for array in other] and all(
        np.allclose(got, want, rtol=0, atol=CLOSE * _size(want), equal_nan=True)
        for got, want in zip(one, other, strict=True)
    )


def _size(numbers: np.ndarray[Any, np.dtype[Any]]) -> float:
    return max(1.0, float(np.abs(np.nan_to_num(numbers, posinf=0, neginf=0)).max(initial=0)))


def check(name: str, folder: Path) -> None:
    """Verify a bundle that is there, and compare it with one that is built anew.

    Raises:
        BundleError: they differ in what has to be the same on every processor.
    """
    committed = Bundle.open(folder / name)
    with progress() as report_progress:
        report = verify(committed.folder, report_progress)
    show(report, committed.folder)
    with TemporaryDirectory() as scratch:
        found = differences(committed, build(name, Path(scratch)))
    if not report.passed or found:
        raise BundleError(
            f"{committed.folder} is not what is built today: {', '.join(found) or 'it does not verify'}. "
            "Run make artifacts-replace, look at the difference, and commit it."
        )
    line(f"Built anew: the same models, byte for byte. {escape(str(committed.folder))} was left as it is.")


def main(
    out: Annotated[Path, typer.Option(help="The folder for the bundles.")] = ARTIFACTS,
    only: Annotated[list[str] | None, typer.Option(help="Build these only.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over bundles that are there.")] = False,
) -> None:
    """Build the bundles, or verify those that are there and compare them with new ones."""
    for name in only or RECIPES:
        with reporting():
            if (out / name).exists() and not replace:
                check(name, out)
            else:
                bundle = build(name, out)
                show(VerificationReport.stored(bundle.manifest), bundle.folder)


if __name__ == "__main__":
    typer.run(main)
