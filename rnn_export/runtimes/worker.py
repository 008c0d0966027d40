"""A fresh process that loads one file and runs all golden vectors, without the model's source.

It is started by :mod:`rnn_export.verify` as ``python -I`` with a request in JSON on standard input, and
leaves the results in an ``.npz`` file.
"""

import json
import sys
import traceback
import zipfile
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import numpy as np

from rnn_export import golden
from rnn_export.errors import BundleError, RuntimeUnavailableError, mismatch
from rnn_export.golden import Case
from rnn_export.reading import schema
from rnn_export.reading.files import Files
from rnn_export.runtimes import RUNTIMES, Call
from rnn_export.signature import Array, Signature

ROOM = 1 << 26  # bytes, for what is said of cases that failed
HEADER = 1 << 10  # bytes of an array's own description, and of its place in the archive
ERRORS = "errors"  # the key, in the results, of a JSON object of what failed
UNAVAILABLE = "unavailable"  # the only key, if the runtime cannot judge the file
MODES = {golden.RUN: ("whole", "cut"), golden.STEP: ("step",)}


class Blocked(MetaPathFinder):
    """Makes the modules that define the net, and what is inside them, impossible to import."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse the model's source; leave the rest to the other finders."""
        if any(name == blocked or name.startswith(f"{blocked}.") for blocked in self.names):
            raise ImportError(f"{name} holds the model's source, which a saved file must not need")


def pieces(steps: int) -> Iterator[slice]:
    """Cut a sequence into pieces of 1, 2, 4, ... time steps.

    >>> [(piece.start, piece.stop) for piece in pieces(10)]
    [(0, 1), (1, 3), (3, 7), (7, 10)]
    """
    start, length = 0, 1
    while start < steps:
        stop = min(start + length, steps)
        yield slice(start, stop)
        start, length = stop, 2 * length


def run(call: Call, case: Case, mode: str, signature: Signature) -> list[Array]:
    """Run a case whole, or cut with the state handed from piece to piece."""
    if mode != "cut":
        return call(*case.arguments)
    parts: list[Array] = []
    state = list(case.state)
    for piece in pieces(case.time):
        lengths = [] if case.lengths is None else [within(case.lengths, piece)]
        part, *state = call(signature.inputs.cut(case.inputs, piece), *state, *lengths)
        if signature.outputs.time_axis is None and lengths and parts:  # a row that had ended stays as it was
            going_on = np.expand_dims(lengths[0] > 0, signature.outputs.other_axes)
            part = np.where(going_on, part, parts[-1])
        parts.append(part)
    axis = signature.outputs.time_axis
    return [parts[-1] if axis is None else np.concatenate(parts, axis), *state]


def within(lengths: Array, piece: slice) -> Array:
    """Give the number of time steps that each row has within a piece.

    >>> within(np.array([0, 4, 9]), slice(3, 7))
    array([0, 1, 4])
    """
    own: Array = np.clip(lengths - piece.start, 0, piece.stop - piece.start)
    return own


def check_results(arrays: Sequence[Array], case: Case) -> None:
    """Check that results have the shapes that were asked for: what is larger is not handed on.

    Raises:
        BundleError: one has another shape.
    """
    found = [np.shape(array) for array in arrays]
    expected = [array.shape for array in case.float64]
    if found != expected:
        raise BundleError(mismatch("results of the file", expected, found, "Export the bundle again."))


def read_results(path: Path, cases: Sequence[Case]) -> dict[str, Array]:
    """Read what a process left, which by then may have been any program.

    Raises:
        BundleError: it is no archive of arrays, or larger than what was asked for.
    """
    tensors = [array.nbytes + HEADER for case in cases for array in case.float64]
    room = ROOM + 2 * sum(tensors)  # whole and cut
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > room:
            raise BundleError(mismatch("the results", f"at most {room} bytes", size, "The file is odd."))
        with np.load(path, allow_pickle=False) as arrays:
            results = dict(arrays)
        if UNAVAILABLE not in results:
            schema.typed(json.loads(str(results[ERRORS])), dict[str, str], "the results")
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        MemoryError,
        RecursionError,
        zipfile.BadZipFile,
    ) as error:
        raise BundleError(
            f"the process left no results that can be read: {error!r}. Run it again."
        ) from error
    return results


def main() -> None:
    """Answer the request on standard input."""
    request: dict[str, Any] = json.load(sys.stdin)
    sys.meta_path.insert(0, Blocked(request["blocked"]))
    folder, signature = Path(request["folder"]), Signature.from_json(request["signature"])
    files = Files(folder, request["files"])
    results: dict[str, Any] = {}
    errors: dict[str, str] = {}
    try:
        call = RUNTIMES[request["runtime"]].start(folder / request["file"], signature, files.read)
    except RuntimeUnavailableError as error:
        np.savez(request["results"], **{UNAVAILABLE: str(error)})  # type: ignore[arg-type]
        return
    for case in golden.read(folder, signature, files.read).cases:
        for mode in MODES[case.kind]:
            if mode == "cut" and not signature.streamable:
                continue
            try:
                arrays = run(call, case, mode, signature)
                check_results(arrays, case)
            except Exception:  # whatever a runtime raises is a finding of this case
                errors[f"{case.name}/{mode}"] = traceback.format_exc(limit=0).strip()
                continue
            results.update({f"{case.name}/{mode}/{k}": array for k, array in enumerate(arrays)})
    results[ERRORS] = json.dumps(errors)
    np.savez(request["results"], **results)
