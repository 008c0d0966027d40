"""Give every model token ids that there are not: python errors.py FOLDER... Silent if all is well."""

import sys
from pathlib import Path

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
    signature = model.manifest["signature"]
    end = signature.get("vocabulary")
    if end is None:
        return
    place = [0, 1] if signature["inputs"]["shape"] == ["time", "batch"] else [1, 0]
    for unknown in (-1, end, LIMITS.min, LIMITS.max):
        expected = f"inputs{place}: expected a token id from 0 to {end - 1}, got {unknown}"
        got = told(model, [0, unknown])
        assert got == expected, f"{model.name}: expected {expected!r}, got {got!r}"
    assert not told(model, [0, end - 1])


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        for runtime in ("onnxruntime", "c"):
            check(load(Path(folder), runtime))
