"""What is wrong with token ids and manifests is told: python errors.py FOLDER... Silent if all is well."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from recurrent import Model, Session, load

LIMITS = np.iinfo(np.int64)


def told(model: Model, ids: list[int]) -> str:
    """Give what a session of some rows says of a step, and see that its state stays as it was."""
    session = Session(model, len(ids))
    before = session.state
    try:
        session.step(np.array(ids))
    except ValueError as error:
        assert session.state is before, "expected the state as before, got another"
        return str(error)
    return ""


def check(model: Model) -> None:
    """Check what is said of ids at the ends of the vocabulary, if there is one."""
    end = model.inputs.get("vocabulary")
    if end is None:
        return
    place = [0, 1] if model.inputs["shape"] == ["time", "batch"] else [1, 0]
    for unknown in (-1, end, LIMITS.min, LIMITS.max):
        expected = f"inputs{place}: expected a token id from 0 to {end - 1}, got {unknown}"
        got = told(model, [0, unknown])
        assert got == expected, f"{model.name}: expected {expected!r}, got {got!r}"
    assert not told(model, [0, end - 1])


def check_manifests(manifest: dict[str, Any]) -> None:
    """Check what is said of a manifest of another format, and of one with several tensors."""
    signature = manifest["signature"]
    two: list[dict[str, Any]] = signature["inputs"] * 2
    one = "expected one tensor of inputs and one of outputs, got"
    changes: list[tuple[dict[str, Any], str]] = [
        ({"format_version": 1}, "expected manifest format 2, got 1: export and scaffold with one rnn-export"),
        ({"signature": signature | {"inputs": two}}, f"{one} 2 and 1: call its files as report.html shows"),
        ({"signature": signature | {"outputs": two}}, f"{one} 1 and 2: call its files as report.html shows"),
    ]
    for change, words in changes:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "manifest.json").write_text(json.dumps(manifest | change), encoding="utf-8")
            try:
                load(folder)
            except ValueError as error:
                got = str(error)
        expected = f"{folder}: {words}"
        assert got == expected, f"expected {expected!r}, got {got!r}"


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        for runtime in ("onnxruntime", "c"):
            model = load(Path(folder), runtime)
            check(model)
            check_manifests(model.manifest)
