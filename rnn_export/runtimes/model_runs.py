"""ONNX models of others in a process of their own, which alone ends if they crash it or never end.

:class:`ModelRuns` asks, :func:`answers` is the process. Both outlive many runs; a run that takes the process
with it is answered by a new one.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from rnn_export.runtimes import ending
from rnn_export.runtimes.turns import measure
from rnn_export.signature.tensors import Array
from rnn_export.workers import Conversation, Workers, read_message

LIMIT = 60.0  # seconds of the processor for one run of a few time steps
LARGEST = (1 << 31) - 1  # bytes of the results of a run
# Keys beside the arrays of a message: the models, each with its number, and what else is asked; or the length
# of each list, or why there are none.
MODEL, ASKED, LENGTHS, ERROR = "model", "asked", "lengths", "error"
REQUEST = {"task": "run_models", "runtime": "onnxruntime", "blocked": []}


class RunError(RuntimeError):
    """ONNX Runtime refuses a model, or a call of it; the message is its own."""


class DeadRunError(RunError):
    """A run has ended its process, or had to be ended."""


class ModelRuns:
    """Runs models as :data:`rnn_export.program.session.Run` says, elsewhere."""

    def __init__(self, workers: Workers) -> None:
        self._conversation = Conversation(REQUEST, workers)

    def __call__(
        self, model: bytes, feeds: Mapping[str, Array], outputs: Sequence[str], *, optimized: bool = False
    ) -> list[Any]:
        """Run a model once: see :func:`rnn_export.program.session.run_here`.

        Raises:
            RunError: ONNX Runtime cannot run it.
            DeadRunError: it takes the process with it, or more than :data:`LIMIT` seconds of the processor.
        """
        asked = {"outputs": list(outputs), "optimized": optimized}
        return self._asked([model], feeds, asked, LIMIT)

    def time(self, models: Sequence[bytes], feeds: Mapping[str, Array], seconds: float) -> list[float]:
        """Give the median time of a call of each model in microseconds, the models taking turns.

        They run ``optimized`` by ONNX Runtime, on one thread.

        Raises:
            RunError: ONNX Runtime cannot run one.
            DeadRunError: one takes the process with it, or far more time than was asked for.
        """
        [times] = self._asked(models, feeds, {"seconds": seconds}, LIMIT + seconds)
        return [float(number) for number in times]

    def _asked(
        self, models: Sequence[bytes], feeds: Mapping[str, Array], asked: Mapping[str, Any], limit: float
    ) -> list[Any]:
        head = {f"{MODEL}{number}": np.frombuffer(model, np.uint8) for number, model in enumerate(models)}
        told = json.dumps({**asked, "models": len(models), "feeds": list(feeds), "limit": limit})
        request = _packed(head | {ASKED: np.array(told)} | _arrays(list(feeds.values())))
        answer, failure = self._conversation.ask(request, LARGEST, limit)
        if failure:
            raise DeadRunError(failure)
        return _read(answer)

    @property
    def pid(self) -> int:
        """The process that runs them, or 0 while there is none."""
        return self._conversation.pid

    def close(self) -> None:
        """End the process."""
        self._conversation.close()


@contextmanager
def model_runs() -> Iterator[ModelRuns]:
    """Give what runs models, and end its process with the block."""
    with Workers() as workers:
        runs = ModelRuns(workers)
        try:
            yield runs
        finally:
            runs.close()


def answers(_: Mapping[str, Any], asked: BinaryIO) -> Iterator[bytes]:
    """Be the process: run what is asked for, until nobody asks any more."""
    session = import_module("rnn_export.program.session")  # and with it ONNX Runtime
    while message := read_message(asked):
        with np.load(io.BytesIO(message), allow_pickle=False) as file:
            given = dict(file)
        wanted = json.loads(str(given.pop(ASKED)))
        models = [given.pop(f"{MODEL}{number}").tobytes() for number in range(wanted["models"])]
        ending.at_most(wanted["limit"])
        feeds = dict(zip(wanted["feeds"], _values(given), strict=True))
        try:
            if "seconds" in wanted:
                results = [np.array(_times(session, models, feeds, wanted["seconds"]))]
            else:
                results = session.run_here(*models, feeds, wanted["outputs"], optimized=wanted["optimized"])
        except Exception as error:  # ONNX Runtime has an exception for every kind of failure
            yield _written({ERROR: np.array(str(error).strip() or type(error).__name__)})
            continue
        yield _written(_arrays(results))


def _times(
    session: ModuleType, models: Sequence[bytes], feeds: Mapping[str, Any], seconds: float
) -> list[float]:
    """Time a call of each model, the models taking turns."""
    loaded = [session.session_of(model, optimized=True) for model in models]
    calls = {place: partial(each.run, None, dict(feeds)) for place, each in enumerate(loaded)}
    return list(measure(calls, seconds=seconds).values())


def _arrays(values: Sequence[Any]) -> dict[str, Any]:
    """Name the arrays of values, each an array or a list of arrays."""
    lists = {k: len(value) for k, value in enumerate(values) if isinstance(value, list)}
    arrays: dict[str, Any] = {LENGTHS: np.array(json.dumps(lists))}
    for k, value in enumerate(values):
        several = value if isinstance(value, list) else [value]
        arrays |= {f"{k}/{j}": _plain(np.asarray(array)) for j, array in enumerate(several)}
    return arrays


def _values(arrays: dict[str, Any]) -> list[Any]:
    """Give the values that were named so."""
    lists = {int(k): int(length) for k, length in json.loads(str(arrays.pop(LENGTHS))).items()}
    singles = {int(key.partition("/")[0]) for key in arrays} - set(lists)
    return [
        [arrays[f"{k}/{j}"] for j in range(lists[k])] if k in lists else arrays[f"{k}/0"]
        for k in range(len(singles) + len(lists))
    ]


def _plain(array: Array) -> Array:
    return array.astype(str) if array.dtype.kind == "O" else array


def _packed(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _written(arrays: dict[str, Any]) -> bytes:
    content = _packed(arrays)
    return len(content).to_bytes(8) + content


def _read(answer: bytes) -> list[Any]:
    """Read what the process gave, which by then may have been any program.

    Raises:
        RunError: ONNX Runtime cannot run the model.
        DeadRunError: these are no arrays.
    """
    try:
        with np.load(io.BytesIO(answer), allow_pickle=False) as file:
            arrays = dict(file)
        if ERROR in arrays:
            raise RunError(str(arrays[ERROR]))
        return _values(arrays)
    except (ValueError, KeyError, EOFError, AttributeError, MemoryError, zipfile.BadZipFile) as error:
        raise DeadRunError(f"the process gave no results that can be read: {error!r}") from error
