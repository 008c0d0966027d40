"""The shape of the code: one direction, and no name of a cell outside models/."""

import ast
from pathlib import Path

import pytest

import rnn_export

PACKAGE = Path(rnn_export.__file__).parent
# From top to bottom; a module imports only from lines above its own.
ORDER = [
    {"errors", "quiet"},
    {"staging"},
    {"models"},
    {"signature"},
    {"reading"},
    {"signing"},
    {"calling"},
    {"axes"},
    {"subject"},
    {"hidden"},
    {"program"},
    {"frontends", "passes", "golden"},
    {"tolerance", "backends"},
    {"bundle", "runtimes"},
    {"dynamics", "rounding"},
    {"judge"},
    {"grid", "verify", "loader"},
    {"bench", "scaffolding"},
    {"report"},
    {"exporter", "optimizer", "target"},
    {"terminal"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
# Here GRU and LSTM are names of ONNX operators.
ONNX_OPERATORS = {"lengths.py", "fuse.py", "propose.py", "gate.py", "choose.py", "operators.py"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Name the parts of the package that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rnn_export":
            parts = (node.module or "").split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("rnn_export.")}
    return names & set(LEVEL)


def test_every_part_has_its_place() -> None:
    assert {part(path) for path in FILES} == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    own = part(path)
    below = {name for name in imported(path) if name != own and LEVEL[name] >= LEVEL[own]}
    assert not below, f"{path} imports {below}, which stand beside or below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_cells_are_named_in_models_only(path: Path) -> None:
    if part(path) == "models" or path.name in ONNX_OPERATORS:
        return
    source = ast.dump(ast.parse(path.read_text()))
    for cell in ("GRU", "LSTM", "RNNScratch", "CharRNN", "torchrecurrent"):
        assert cell not in source


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350
