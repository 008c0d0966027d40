"""How long a call takes: every file of a bundle in every runtime that is installed, on one core.

The calls take turns on the same inputs; medians in microseconds. Read the ratios: no machine is quiet.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich import box, markup
from rich.table import Table

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.golden import ORDINARY, RUN, Case
from rnn_export.bundle.layout import MODEL_ONNX, STEP_ONNX
from rnn_export.progress import ProgressCallback
from rnn_export.runtimes.table import RUNTIMES, Runtime
from rnn_export.runtimes.turns import SECONDS, Key, measure
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array
from rnn_export.verification import tolerance

LONGEST = 1000  # time steps of the golden run that is timed
FORMS_RUN_IN = "onnxruntime"
CLEARLY = 1.1  # times as fast: less may be noise
NOT_INSTALLED = "not installed"
WRONG = "wrong: "
OTHER_WEIGHTS = (
    "Name the module with the weights that were exported: with --checkpoint FILE, or "
    "torch.manual_seed(0) in a factory that draws them"
)

Made = TypeVar("Made")
Shape = tuple[int, int]  # time steps, batch
Origin = tuple[Any, Any, Mapping[str, Any]]  # a module, and the arguments and keyword arguments of a call
EAGER = "your module", "PyTorch, eager"


@dataclass(frozen=True)
class Row:
    """One file in one runtime: a median for each shape, or the reason why there is none.

    ``ratios`` says how many times as fast it is as the best of the other rows: only the best is above 1.
    ``speedups`` says the same of eager PyTorch, where that was timed.
    """

    file: str
    runtime: str
    microseconds: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    note: str = ""
    speedups: tuple[float, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """The rows of a bundle, over some shapes."""

    name: str
    shapes: tuple[Shape, ...]
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """Give plain data for scripts."""
        shapes = [{TIME: steps, BATCH: batch} for steps, batch in self.shapes]
        return {"name": self.name, "shapes": shapes, "rows": [asdict(row) for row in self.rows]}

    @property
    def compared_with(self) -> str:
        """What the ``x`` of the table means."""
        if any(row.speedups for row in self.rows):
            return "your module in PyTorch"
        return "the best other row"

    @property
    def other_forms(self) -> list[str]:
        """For which shapes another form than ``model.onnx`` is faster."""
        times = {(row.file, row.runtime): row.microseconds for row in self.rows}
        return other_forms(times, self.shapes)


def ratios(times: Mapping[Key, float]) -> dict[Key, float]:
    """Say how many times as fast each is as the best of the others; 1 if there are no others.

    >>> ratios({"a": 10.0, "b": 20.0, "c": 40.0})
    {'a': 2.0, 'b': 0.5, 'c': 0.25}
    """
    return {
        name: min((other for key, other in times.items() if key != name), default=own) / own
        for name, own in times.items()
    }


def attempt(start: Callable[[], Made], find_fault: Callable[[Made], str]) -> Made | str:
    """Start something and call it for the first time; give it, or say what is wrong with it."""
    try:
        made = start()
        fault = find_fault(made)
    except ModuleNotFoundError:
        return NOT_INSTALLED
    except Exception as error:  # whatever an engine raises is its result
        first = (str(error).strip() or type(error).__name__).partition("\n")[0]
        return f"fails: {first}"
    return f"{WRONG}{fault}" if fault else made


def bench(
    folder: str | Path,
    shapes: Sequence[Shape] = (),
    *,
    seconds: float = SECONDS,
    eager: Origin | None = None,
    progress: ProgressCallback | None = None,
) -> Benchmark:
    """Time every file of a bundle in every runtime that can run it.

    Args:
        folder: a bundle.
        shapes: pairs of time steps and batch; a few small ones, and as many time steps as the longest
            golden run has, unless given.
        seconds: how long to time one shape, about.
        eager: the module that was exported, with the arguments and keyword arguments of a call: eager PyTorch
            is a row, too.
        progress: called with what is being done, the parts done and their number.

    Each file is first compared with a golden run; one that is wrong there is named and not timed. For one
    thread in every runtime call it within :func:`one_core`, before torch is loaded.

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written.
    """
    bundle = Bundle.open(folder)
    runs = (case for case in bundle.cases if case.kind == RUN and case.values == ORDINARY)
    longest = max((case for case in runs if case.time <= LONGEST), key=lambda case: case.time)
    least = bundle.signature.least
    usual = {(least, 1), (100, 1), (100, 2), (100, 16), (longest.time, 1)}
    chosen = tuple(shapes) or tuple(sorted(usual))
    loaded = _load(bundle, longest, eager)
    calls = {pair: call for pair, call in loaded.items() if not isinstance(call, str)}
    columns = []
    for number, shape in enumerate(chosen):
        if progress:
            progress(f"Timing {_title(shape)}", number, len(chosen))
        arguments = _arguments(bundle.signature, longest.inputs, shape)
        bound = {pair: partial(call, *arguments) for pair, call in calls.items()}
        columns.append(measure(bound, seconds=seconds))
    compared = [ratios(column) for column in columns]
    rows = tuple(
        Row(*pair, note=found)
        if isinstance(found, str)
        else Row(
            *pair,
            tuple(column[pair] for column in columns),
            tuple(column[pair] for column in compared),
            speedups=tuple(column[EAGER] / column[pair] for column in columns if EAGER in column),
        )
        for pair, found in loaded.items()
    )
    return Benchmark(bundle.manifest.name, chosen, rows)


def _load(bundle: Bundle, case: Case, eager: Origin | None) -> dict[tuple[str, str], Call | str]:
    """Load each file in each runtime, or say why not; the module itself comes first."""
    allowed = tolerance.bounds(bundle.cases, bundle.signature)[case.name]

    def find_fault(call: Call) -> str:
        results = case.kept(call(*case.arguments))
        found = tolerance.deviation(case, results, allowed, bundle.signature)
        return found.where if found.share > 1 else ""

    def load(runtime: Runtime, file: str) -> Call:
        if not runtime.installed:
            raise ModuleNotFoundError(runtime.package)
        return runtime.start(bundle.folder / file, bundle.signature, bundle.files.read)

    loaded: dict[tuple[str, str], Call | str] = {}
    if eager is not None:
        from rnn_export.benchmark.eager import eager_call  # noqa: PLC0415 (needs torch)

        own = attempt(partial(eager_call, *eager, bundle.signature), find_fault)
        differs = isinstance(own, str) and own.startswith(WRONG)
        loaded[EAGER] = f"{own}. {OTHER_WEIGHTS}" if differs else own
    for file in (each for each in bundle.manifest.files if each != STEP_ONNX):  # which takes no sequence
        for runtime in (known for known in RUNTIMES.values() if file.endswith(known.suffix)):
            found = attempt(partial(load, runtime, file), find_fault)
            loaded[file, runtime.name] = found
    return loaded


def _arguments(signature: Signature, sample: Sequence[Array], shape: Shape) -> list[Array]:
    """Repeat some inputs up to a shape, so that token ids are ones it knows; the initial state; full rows."""
    steps, batch = shape
    repeated = []
    for spec, own in zip(signature.inputs, sample, strict=True):
        inputs = np.full_like(own, steps) if spec.counts_steps else own
        for axis, size in ((spec.time_axis, steps), (spec.batch_axis, batch)):
            if axis is not None:
                inputs = np.take(inputs, np.arange(size) % inputs.shape[axis], axis)
        repeated.append(np.nan_to_num(np.ascontiguousarray(inputs)))
    lengths = [np.full(batch, steps, np.int64)] if signature.lengths else []
    return [*repeated, *signature.initial_state(batch), *lengths]


def other_forms(times: Mapping[tuple[str, str], Sequence[float]], shapes: Sequence[Shape]) -> list[str]:
    """Say for which shapes another form than ``model.onnx`` is clearly faster, by more than ``CLEARLY``.

    Args:
        times: the microseconds of each shape, by file and runtime.
        shapes: the shapes.
    """
    said = []
    for place, shape in enumerate(shapes):
        forms = {pair: own[place] for pair, own in times.items() if own and pair[1] == FORMS_RUN_IN}
        own = forms.get((MODEL_ONNX, FORMS_RUN_IN))
        if own is None:
            continue
        (best, _), least = min(forms.items(), key=lambda item: item[1])
        if own > CLEARLY * least:
            faster = f"{best} takes {number(least)} us, {MODEL_ONNX} {number(own)} us"
            said.append(f"{_title(shape)}: {faster}, in {FORMS_RUN_IN}")
    return said


def table(benchmark: Benchmark) -> Table:
    """Show a row for each file and runtime: microseconds, the ratio below, the best of a shape marked."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("File", "Runtime"):
        shown.add_column(heading, no_wrap=True)
    for shape in benchmark.shapes:
        shown.add_column(_title(shape).replace(" ", "\n"), justify="right", no_wrap=True)
    for row in benchmark.rows:
        compared = row.speedups or row.ratios
        cells = [_cell(*found) for found in zip(row.microseconds, row.ratios, compared, strict=True)]
        names = markup.escape(row.file), markup.escape(row.runtime)
        shown.add_row(*names, *(cells or ["-"] * len(benchmark.shapes)))
    return shown


def _cell(microseconds: float, ratio: float, compared: float) -> str:
    mark = "bold green" if ratio >= 1 else "default"
    digits = 2 if compared < 10 else 0
    return f"[{mark}]{number(microseconds)}[/]\n[dim]x{compared:.{digits}f}[/]"


def number(microseconds: float) -> str:
    """Write a time with the digits that can be trusted.

    >>> [number(value) for value in (0.0693, 0.8214, 18.44, 1355.2)]
    ['0.069', '0.82', '18.4', '1355']
    """
    digits = next((digits for digits, limit in ((3, 0.1), (2, 10), (1, 100)) if microseconds < limit), 0)
    return f"{microseconds:.{digits}f}"


def _title(shape: Shape) -> str:
    return f"T={shape[0]} B={shape[1]}"


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and every thread that an engine starts in it, on one core.

    Where the system cannot do that (macOS, Windows), engines that are not loaded yet are told by
    ``OMP_NUM_THREADS`` alone.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if sys.platform != "linux":
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
