"""The shape of the code: one direction between rooms and between their files; cells in ``models`` alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import rnn_export
from rnn_export import models

PACKAGE = Path(rnn_export.__file__).parent
LINES = 350  # of a file, at most

# From top to bottom, as the data goes. A file imports only from rooms above its own, and from those files of
# its own room that are listed before it. A room without files is a module.
ROOMS: dict[str, str] = {
    "exclusive": "",
    "errors": "",
    "failures": "",
    "version": "",
    "progress": "",
    "notebook": "",
    "garbage": "",
    "workers": "",
    "models": "rnn gru lstm stack char",
    "signature": "tree sizes tensors signature as_json",
    "program": "quiet session values build computed program scan operator_facts agree small_weights",
    "module": """
        calling attributes output_length numbers_behind candidates rows axes_refused axes counts free_sizes
        call_specs wrappers copying interface arguments each_row left_out pairs unbatched naming arranged
        preparation purity starts subject reading precision eager repeatable values sizes kinds sampling
        vocabulary fold_check submodule_state kept_state unpacked row_ends squeezed local_names
        inspection asked matrices rounded_weights
        """,
    "bundle": """
        staging untrusted/files untrusted/json_text untrusted/schema untrusted/signature untrusted/protobuf
        untrusted/archive untrusted/exported golden thinned layout weights bundle description signing
        """,
    "capture": """
        decompositions complex_numbers free_numbers traceable registry step script/source script/aliases
        script/specialize
        script/loop_to_onnx script/properties script/explained script/script onnx_file/affine_index
        onnx_file/first_step
        onnx_file/trip_count onnx_file/list_entries onnx_file/loop_node onnx_file/list_states
        onnx_file/sequence_reads onnx_file/loop_to_scan onnx_file/sequence_lists onnx_file/scan_direction
        onnx_file/opset onnx_file/reader roll/windows roll/written roll/unread roll/unrolled
        roll/one_step roll/agree roll/traced roll/rolled inline/repeats inline/entries inline/body
        inline/ends inline/time_step inline/replaced inline/modules inline/free_steps inline/inline
        around/calls around/opaque around/by_itself around/free around/put_in
        around/around capture
        """,
    "passes": """
        contract cleanup/constant_folding cleanup/simplify cleanup/entrywise cleanup/unit_axes cleanup/layers
        lengths time/recurrences time/regroup time/lifted time/lift_rows time/lift time/distribute
        time/last_step cleanup/products operators/step_function operators/cells operators/recognize
        operators/definition operators/guard
        operators/rnn_as_gru operators/exact_sigmoid choose time/no_steps pipeline one_step forms
        """,
    "backends": """
        archive torchscript torch_export empty_calls onnx_weights onnx
        c/trace/elementwise c/trace/graph c/trace/net c/trace/operations c/trace/symbols c/trace/clocks
        c/trace/nodes c/trace/source_names c/trace/operators c/trace/order c/trace/walks c/trace/tracing
        c/trace/pairs c/trace/frames c/trace/flattened c/trace/loops c/trace/numbered
        c/trace/rows_apart c/trace/trace c/trace/results c/trace/over_time c/trace/bands c/trace/rules
        c/trace/products c/trace/choices c/trace/einsum c/trace/windows c/trace/time_windows
        c/trace/places c/trace/composed
        c/plan/buffers c/plan/tiles c/plan/merge c/plan/schedule c/plan/room c/plan/plan
        c/write/literals c/write/names c/write/pack c/write/context c/write/equations c/write/tiles
        c/write/copies c/write/maps c/write/pairs c/write/emit c/write/layout c/write/loads c/write/walk
        c/write/small_kernels c/write/source c/write/model
        write
        """,
    "runtimes": """
        compiler static_memory bound row_threads c ship wasm_build wasm onnxruntime reference torchscript
        torch_export aoti arrays session one_step table empty_calls load turns ending model_runs
        empty_comparison sample_calls which_calls worker
        """,
    "fleets": "packages columns plan scorer tables sources job files sequences inference_protocol",
    "ray": "",
    "kserve": "",
    "mlserver": "",
    "mlflow": "",
    "verification": """
        dynamics rounding disturbed single_steps grid tolerance sensitivity compare verdict verify
        verify_export choose weights_cost shipped wasm aoti
        """,
    "benchmark": "eager bench",
    "scaffolding": "hosts models render batch_first triton scaffold",
    "report": "graph layout picture charts calls unchecked page readme write latency",
    "exporter": "",
    "optimization": "",
    "optimizer": "",
    "cli": "user_code checkpoint target options command terminal shipping scoring main",
    "__init__": "",
}
FILES = sorted(PACKAGE.rglob("*.py"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


def listed() -> Iterator[str]:
    """Give the modules in their order, each room itself before its files."""
    for room, files in ROOMS.items():
        if room == "models":  # its ``__init__`` names the cells, which the files beside it hold
            yield from (f"models.{file}" for file in files.split())
            yield "models"
            continue
        yield room
        packages = {part for file in files.split() for part in _parents(f"{room}.{file.replace('/', '.')}")}
        yield from sorted(packages - {room})
        yield from (f"{room}.{file.replace('/', '.')}" for file in files.split())


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


PLACE = {module: place for place, module in enumerate(listed())}


def name_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE).with_suffix("")
    parts = (
        relative.parts
        if relative.parts == ("__init__",)
        else tuple(p for p in relative.parts if p != "__init__")
    )
    return ".".join(parts)


def imported(path: Path) -> set[str]:
    """Name the modules of the package that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rnn_export":
            base = (node.module or "").removeprefix("rnn_export").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                names.add(inner if inner in PLACE else base or "__init__")
        elif isinstance(node, ast.Import):
            own = [alias.name for alias in node.names if alias.name.partition(".")[0] == "rnn_export"]
            names |= {name.removeprefix("rnn_export").lstrip(".") or "__init__" for name in own}
    return names


def test_every_file_has_its_place() -> None:
    assert sorted(map(name_of, FILES)) == sorted(PLACE)


@each_file
def test_imports_go_one_way(path: Path) -> None:
    own = name_of(path)
    below = {module for module in imported(path) if PLACE[module] >= PLACE[own]}
    assert not below, f"{own} imports {below}, which stand below it"


@each_file
def test_cells_are_named_in_models_only(path: Path) -> None:
    """No class of ``models``, of torch.nn or of a package is used; ``GRU`` is an operator of ONNX as well."""
    if name_of(path).partition(".")[0] == "models":
        return
    tree = ast.parse(path.read_text())
    ours = {name for name in vars(models) if isinstance(getattr(models, name), type)}
    words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    words |= {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert ours
    assert not words & ours
    assert not any(name in text for name in {*ours, "torchrecurrent"} for text in texts)
    recurrent = {name for name in vars(torch.nn) if name.startswith(("RNN", "GRU", "LSTM"))}
    assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & recurrent


@each_file
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES


def test_the_public_api_is_not_shadowed_by_a_room() -> None:
    assert not set(ROOMS) & set(rnn_export.__all__)


def test_no_test_imports_another() -> None:
    tests = Path(__file__).parent
    for path in tests.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
                assert "test_" not in (node.module or ""), path
