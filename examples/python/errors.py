"""What is wrong with token ids and manifests is told: python errors.py FOLDER... Silent if all is well."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from recurrent import Array, Model, Session, load, sized

LIMITS = np.iinfo(np.int64)
ROWS = 2


def told(model: Model, step: dict[str, Array]) -> str:
    """Give what a session of some rows says of a step, and see that its state stays as it was."""
    session = Session(model, ROWS)
    before = session.state
    try:
        session.step(step)
    except ValueError as error:
        assert session.state is before, "expected the state as before, got another"
        return str(error)
    return ""


def expect(model: Model, expected: str, got: str) -> None:
    """Compare what is said."""
    assert got == expected, f"{model.name}: expected {expected!r}, got {got!r}"


def zeros(model: Model) -> dict[str, Array]:
    """Make a step of zeros for some rows; of other free sizes there is one."""
    step = {}
    for spec in model.inputs:
        free = {size: 1 for size in spec["shape"] if isinstance(size, str)} | {"batch": ROWS}
        axes = [size for size in spec["shape"] if size != "time"]
        step[spec["name"]] = np.zeros(sized({"shape": axes}, free), spec["dtype"])
    return step


def check(model: Model) -> None:
    """Check what is said of ids at the ends of a vocabulary, of each input that has one."""
    for spec in model.inputs:
        end = spec.get("vocabulary")
        if end is None:
            continue
        step = zeros(model)
        ids = step[spec["name"]].reshape(-1)
        place = list(np.unravel_index(ids.size - 1, step[spec["name"]].shape))
        if "time" in spec["shape"]:
            place.insert(spec["shape"].index("time"), np.intp(0))
        where = [int(at) for at in place]
        for unknown in (-1, end, LIMITS.min, LIMITS.max):
            ids[-1] = unknown
            words = f"{spec['name']}{where}: expected a token id from 0 to {end - 1}, got {unknown}"
            expect(model, words, told(model, step))
        ids[-1] = end - 1
        expect(model, "", told(model, step))


def check_names(model: Model) -> None:
    """Check what is said of a call that lacks an array, or has one that does not exist."""
    names = ", ".join(spec["name"] for spec in model.inputs)
    step = zeros(model)
    *others, last = step
    expected = f"expected arrays called {names}, got {', '.join(others) or 'none'}"
    expect(model, expected, told(model, {name: step[name] for name in others}))
    expected = f"expected arrays called {names}, got {', '.join([*step, 'another'])}"
    expect(model, expected, told(model, step | {"another": step[last]}))


def check_manifests(manifest: dict[str, Any]) -> None:
    """Check what is said of a manifest of another format, and of a net that cannot be streamed."""
    whole = manifest["signature"] | {"streamable": False}
    changes: list[tuple[dict[str, Any], str]] = [
        ({"format_version": 1}, "expected manifest format 2, got 1: export and scaffold with one rnn-export"),
        ({"signature": whole}, "expected a net that can be streamed, without lengths, got another one"),
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
    for name in sys.argv[1:]:
        for runtime in ("onnxruntime", "c") if Path(name, "model.c").exists() else ("onnxruntime",):
            model = load(Path(name), runtime)
            check(model)
            check_names(model)
            check_manifests(model.manifest)
