"""Verify is tried on wrong files: every mutation of every model, in every backend and runtime, is caught."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
import torch
from filelock import FileLock
from onnx import parser

import rnn_export
from rnn_export import workers as process
from rnn_export.bundle.bundle import MANIFEST, Bundle, describe_files, manifest_text
from rnn_export.bundle.golden import INDEX
from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.program.program import run_model
from rnn_export.runtimes.one_step import looped
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.signature.signature import Call
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array
from rnn_export.verification.compare import FAILED, NOT_CHECKED, PASSED, Check
from rnn_export.verification.verify import verify
from tests.support import mutant_nodes as nodes
from tests.support import nets
from tests.support.cases import CALL_CASES, CASES, CallCase, ModelCase
from tests.support.exports import Exported, shared_folder
from tests.support.forked import Nursery
from tests.support.mutants import CONTROL, MUTATIONS, OF_LENGTHS, OF_TINY, Mutation, Workshop

pytestmark = [
    pytest.mark.far,
    pytest.mark.filterwarnings("ignore:LSTM with projections"),  # said by torch.nn itself
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

CAUGHT, MISSED, RIGHT = "caught", "missed", "right"
EQUIVALENT = "equivalent"  # gives the same bits as the right file
REFUSED = "refused"  # by the runtime, which says so: not checked is not passed
LACKING = "not applicable"  # the net has nothing that the mutation changes
FINE = {CAUGHT, RIGHT, EQUIVALENT, REFUSED, LACKING}
# Ways to write forward() whose files differ from those of every case: rows first, outputs of the last step,
# a state that the module hides, operators of torch.nn in model.pt.
UNLIKE = (
    "torch_lstm_rows_first torch_lstm_projected tagger classifier parallel_in_training torch_bidirectional"
)
RAGGED = "rnn lstm deep_rnn deep_mixed bidirectional list_state"
TABLES: list[tuple[ModelCase | CallCase, bool]] = [
    *((case, False) for case in (*CASES, *CALL_CASES) if case in CASES or case.name in UNLIKE.split()),
    *((case, True) for case in CASES if case.name in RAGGED.split()),
]
# Two models between which every mutation changes a file of every backend. `make test` tries the second.
QUICK = [table for table in TABLES if (table[0].name, table[1]) in {("char_deep", False), ("rnn", True)}]
SEVERAL = 3  # models of each backend, at the least, that a mutation has to be tried on
FEW = 32  # time steps and rows that catch most wrong files
C_OPTIONS = "-O1 -DPLAIN_LOOPS"  # compiles four times as fast as vectors
Judge = Callable[[ModelCase | CallCase, bool], "list[Judgement]"]


@dataclass(frozen=True)
class Judgement:
    """What a runtime made of a mutation in a backend; ``share`` is the file's error by what is allowed."""

    model: str
    mutation: str
    backend: str
    runtime: str
    verdict: str
    share: float = 0.0
    detail: str = ""


@pytest.fixture(scope="session")
def judge(
    tmp_path_factory: pytest.TempPathFactory, exported: Exported, exported_ragged: Exported, nursery: Nursery
) -> Judge:
    """Judge all mutations of a model, once for all test processes."""
    shared = shared_folder(tmp_path_factory, "mutants")
    shared.mkdir(exist_ok=True)

    def judged(case: ModelCase | CallCase, ragged: bool) -> list[Judgement]:
        kept = shared / f"{case.name}{'_ragged' * ragged}.json"
        with FileLock(kept.with_suffix(".lock")):
            if not kept.exists():
                bundle = (exported_ragged if ragged else exported)(case, pt2=True)
                scratch = tmp_path_factory.mktemp(kept.stem)
                found = _judged(case, bundle, OF_LENGTHS if ragged else MUTATIONS, scratch, nursery)
                shutil.rmtree(scratch)
                kept.write_text(json.dumps([asdict(judgement) for judgement in found]))
            return [Judgement(**entry) for entry in json.loads(kept.read_text())]

    return judged


def _judged(
    case: ModelCase | CallCase,
    bundle: Bundle,
    mutations: dict[str, Mutation],
    scratch: Path,
    nursery: Nursery,
) -> list[Judgement]:
    """Put the wrong files of each mutation of a model into a bundle, and let verify judge it.

    Its long and wide runs, which take most of the time, are left out where wrong files are caught without.
    """
    (scratch / "right").mkdir()
    workshop, folder = Workshop(case, bundle, scratch / "right"), scratch / "wrong"
    folder.mkdir()
    found, checks = [], []
    for number, (name, mutation) in enumerate({**CONTROL, **mutations}.items()):
        wrong = folder / str(number)
        files = workshop.make(mutation, wrong)
        lacking = [backend for backend in workshop.backends if backend not in files]
        found += [Judgement(case.name, name, backend, "", LACKING) for backend in lacking]
        made = {path.relative_to(wrong).as_posix(): (name, backend, path) for backend, path in files.items()}
        judged = () if name in CONTROL else _verified(wrong, bundle, nursery, few_calls=True)
        if any(check.verdict == PASSED for check in judged) or not judged:
            judged = _verified(wrong, bundle, nursery)
        checks += [(*made[check.file], check) for check in judged]
    asked = {  # a runtime that cannot judge the right file judges none
        (backend, check.runtime)
        for name, backend, _, check in checks
        if name in CONTROL and check.verdict != NOT_CHECKED
    }
    for name, backend, path, check in checks:
        if (backend, check.runtime) in asked:
            verdict = _verdict(check, name, bundle, workshop.backends[backend], path)
            share = check.worst.share if check.worst else 0.0
            found.append(Judgement(case.name, name, backend, check.runtime, verdict, share, check.detail))
    return found


def _verified(folder: Path, bundle: Bundle, nursery: Nursery, *, few_calls: bool = False) -> Sequence[Check]:
    """Make a folder a bundle like another one, hashes and all, and verify it."""
    shutil.copytree(bundle.folder / "golden", folder / "golden", dirs_exist_ok=True)
    if few_calls:
        index = json.loads((folder / INDEX).read_text())
        index["cases"] = [case for case in index["cases"] if case["time"] <= FEW and case["batch"] <= FEW]
        (folder / INDEX).write_text(json.dumps(index))
    manifest = json.loads((bundle.folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(manifest_text({**manifest, "files": describe_files(folder)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "ask", partial(nursery.ask, CFLAGS=C_OPTIONS))
        return verify(folder).checks


def _verdict(check: Check, name: str, bundle: Bundle, right: Path, wrong: Path) -> str:
    if name in CONTROL:
        return RIGHT if check.verdict == PASSED else f"{MISSED}, as this file is right: {check.verdict}"
    if check.verdict == NOT_CHECKED:
        return REFUSED
    if check.verdict == FAILED:
        by_numbers = check.worst and (
            np.isfinite(check.worst.error)
            or re.search(", got -?(nan|inf)|, got a change of static memory", check.detail)
        )
        return CAUGHT if by_numbers else f"{MISSED}, as it does not run"
    return EQUIVALENT if _same(bundle, check.runtime, right, wrong) else MISSED


def _same(bundle: Bundle, runtime: str, right: Path, wrong: Path) -> bool:
    """Whether two files give the same bits, on calls longer and wider than those that verify tries."""
    calls = [_loaded(path, runtime, bundle) for path in (right, wrong)]
    run = max(bundle.cases, key=lambda case: (case.time, case.batch))
    rng = np.random.default_rng(0)
    longest, rows = min(run.time, RUNTIMES[runtime].longest), max(case.batch for case in bundle.cases)
    for steps, batch in ((1, 1), (2, 8), (longest, 3), (longest + 3, 1), (3, rows + 4)):
        sizes = {TIME: steps, BATCH: batch}
        arguments = [
            rng.choice(_finite(value), spec.sized(**sizes))
            for spec, value in zip(bundle.signature.arguments, run.arguments, strict=True)
        ]
        if bundle.signature.lengths:
            arguments[-1] = rng.integers(0, steps + 1, batch)
        one, other = (call(*arguments) for call in calls)
        if not all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True)):
            return False
    return True


def _loaded(path: Path, runtime: str, bundle: Bundle) -> Call:
    signature = bundle.signature
    if path.name != STEP_ONNX or path.parent.name == "variants":
        return RUNTIMES[runtime].start(path, signature)
    return looped(RUNTIMES[runtime].start(path, signature.one_step), signature)


def _finite(value: Array) -> Array:
    return value[np.isfinite(value)].ravel()


def test_the_activation_is_near() -> None:
    x = torch.linspace(-10, 10, 10_001, dtype=torch.float64)
    numbers = (*nodes.NUMERATOR, *nodes.DENOMINATOR, nodes.LARGEST)
    for near, exact in ((nodes._near_tanh, torch.tanh), (nodes._near_sigmoid, torch.sigmoid)):
        assert 1e-4 < (near(x, *numbers) - exact(x)).abs().max() < 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_are_those_of_bfloat16(dtype: str) -> None:
    kind = {"float32": "float", "float64": "double"}[dtype]
    text = f'<ir_version: 8, opset_import: ["" : 18]> net ({kind}[N,4] x, {kind}[4,4] w) => ({kind}[N,4] y)'
    model = ir.from_proto(parser.parse_model(f"{text} {{ y = MatMul (x, w) }}"))
    assert nodes.coarse_products(model, dtype)
    x = np.random.default_rng(0).standard_normal((1000, 4)).astype(dtype)
    [got] = run_model(ir.to_proto(model), {"x": x, "w": np.eye(4, dtype=dtype)}, ["y"])
    np.testing.assert_array_equal(got, x.astype(ml_dtypes.bfloat16).astype(dtype))


def parameters(table: tuple[ModelCase | CallCase, bool]) -> Any:
    case, ragged = table
    marks = pytest.mark.daily if table == QUICK[-1] else pytest.mark.exhaustive
    return pytest.param(case, ragged, marks=marks, id=f"{case.name}{'-lengths' * ragged}")


@pytest.mark.several(1)
@pytest.mark.parametrize(("case", "ragged"), [*map(parameters, TABLES)])
def test_every_wrong_file_is_caught(case: ModelCase | CallCase, ragged: bool, judge: Judge) -> None:
    found = judge(case, ragged)
    assert [each for each in found if each.verdict not in FINE] == []
    caught = {(each.mutation, each.backend) for each in found if each.verdict in (CAUGHT, EQUIVALENT)}
    assert {(each.mutation, each.backend) for each in found if each.verdict == REFUSED} <= caught
    assert any(each.verdict == CAUGHT for each in found)
    assert any(each.verdict == RIGHT for each in found)


def backends_of(mutation: str) -> Sequence[str]:
    """Give the backends that have what a mutation changes."""
    return {**MUTATIONS, **OF_LENGTHS}[mutation].backends


each_mutation = pytest.mark.parametrize("mutation", [*MUTATIONS, *OF_LENGTHS])


@pytest.mark.exhaustive
@each_mutation
def test_every_mutation_is_caught_in_every_backend(mutation: str, judge: Judge) -> None:
    found = [each for table in QUICK for each in judge(*table) if each.mutation == mutation]
    assert {backend for _, _, backend in _files(found)} >= {*backends_of(mutation)}


@pytest.mark.exhaustive
@pytest.mark.everything
@each_mutation
def test_every_mutation_is_tried_on_several_models_of_every_backend(
    mutation: str, judge: Judge, figure: Callable[[str], None]
) -> None:
    found = [each for each in _everything(judge) if each.mutation == mutation]
    models = Counter(backend for _, _, backend in _files(found))
    # The form "step" is shipped only where it is the fastest.
    assert all(models[backend] >= SEVERAL for backend in backends_of(mutation)), models
    figure(f"mutants, {mutation}: {_figures(found)}")


@pytest.mark.exhaustive
@pytest.mark.everything
def test_the_figure(judge: Judge, figure: Callable[[str], None]) -> None:
    found = [each for each in _everything(judge) if each.mutation not in CONTROL]
    models, mutations = ({each.model for each in found}, {each.mutation for each in found})
    figure(f"mutants, {len(mutations)} mutations x {len(models)} models: {_figures(found)}")


@pytest.mark.exhaustive
def test_a_file_that_takes_tiny_inputs_for_zeros_is_caught(tmp_path: Path, nursery: Nursery) -> None:
    case = ModelCase("decibels", lambda: nets.Decibels(4, 6), lambda: torch.rand(9, 3, 4) + 0.1)
    bundle = rnn_export.export(*case.build(), tmp_path / "bundle")
    (tmp_path / "scratch").mkdir()
    found = _judged(case, bundle, OF_TINY, tmp_path / "scratch", nursery)
    verdicts = Counter((each.mutation in CONTROL, each.verdict) for each in found)
    assert {*verdicts} == {(True, RIGHT), (False, CAUGHT)}, found
    assert {backend for _, _, backend in _files(found)} >= {"pt", "c", "loop", "scan"}


def _everything(judge: Judge) -> list[Judgement]:
    """Judge all models, from the last on: another process may be at the first ones, one after another."""
    return [each for table in reversed(TABLES) for each in judge(*table)]


def _files(found: list[Judgement]) -> set[tuple[str, str, str]]:
    """Give the wrong files that were caught, each in all of its runtimes."""
    return {(each.model, each.mutation, each.backend) for each in found if each.verdict == CAUGHT}


def _figures(found: list[Judgement]) -> str:
    counts = Counter(each.verdict for each in found)
    caught, missed = counts[CAUGHT], sum(each.verdict not in FINE for each in found)
    files = Counter(backend for _, _, backend in _files(found))
    least = min((each for each in found if each.verdict == CAUGHT), key=lambda each: each.share)
    return (
        f"{caught} of {caught + missed} checks of {files.total()} wrong files failed, as they have to "
        f"({caught / (caught + missed):.1%}; files: "
        f"{', '.join(f'{backend} {count}' for backend, count in sorted(files.items()))}); "
        f"{counts[EQUIVALENT]} equivalent, {counts[REFUSED]} refused by the runtime, {counts[LACKING]} not "
        f"applicable; least wrong: {least.share:.3g} times what is allowed ({least.model}, {least.mutation}, "
        f"{least.backend} in {least.runtime})"
    )
