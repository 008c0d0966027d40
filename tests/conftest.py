"""What the tests share: every case exported once, for all processes that run tests."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from functools import cache, partial
from pathlib import Path
from zlib import crc32

import pytest
from torch.onnx._internal.exporter._registration import ONNXRegistry

from rnn_export import optimizer
from rnn_export import workers as process
from rnn_export.runtimes.model_runs import model_runs
from rnn_export.verification import grid
from tests.support.cases import CASES, DAILY, CallCase, ModelCase
from tests.support.exports import Exported, Exports, libraries, remembered, shared_folder, sources
from tests.support.forked import Nursery
from tests.support.near import NEAR

# Tests compile much C: quickly, for this processor alone, and once.
os.environ.setdefault("CFLAGS", "-O1 -march=native")
os.environ["XDG_CACHE_HOME"] = str(libraries())

FAR = grid.FAR
FILES = {"tmp_path", "exported", "exported_ragged"}  # what tests have that export, build or run files
SEVERAL = 1  # of what such a test is tried on, every day, unless it is marked with another number
FIGURE, COUNTS = "figure", "counts"
NO_CACHE, PART = "--no-export-cache", "--part"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(NO_CACHE, action="store_true", help="export every case anew, whatever build/tests holds")
    parser.addoption(
        PART, help="K/N: try each exhaustive test of number K modulo N, but none that needs all others"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose tools are not installed; where ``CI`` is set they have to be."""
    tools = [tool for mark in item.iter_markers("needs") for tool in mark.args]
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        end = pytest.fail if os.environ.get("CI") else pytest.skip
        end(f"not installed: {', '.join(missing)}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with mutants, which take longest: else one process is left alone with them at the end.

    Of the tests of each case, those of a few are for every day; the others are exhaustive. So are all but a
    few of what one test that writes files is tried on, or that says of how many.
    """
    for item in items:
        values = getattr(getattr(item, "callspec", None), "params", {}).values()
        cases = [value.name for value in values if isinstance(value, ModelCase | CallCase)]
        if not (DAILY.issuperset(cases) or item.get_closest_marker("daily")):
            item.add_marker("exhaustive")
    several = dict[str, list[pytest.Item]]()
    for item in items:
        writes = not FILES.isdisjoint(getattr(item, "fixturenames", ()))
        sampled = writes or item.get_closest_marker("several")
        if sampled and not any(map(item.get_closest_marker, ("exhaustive", "daily"))):
            several.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for own in several.values():
        named = own[0].get_closest_marker("several")
        many = named.args[0] if named else SEVERAL
        kept = {own[len(own) * place // many] for place in range(many)}
        for item in own:
            if item not in kept:
                item.add_marker("exhaustive")
    if part := config.getoption(PART):
        number, parts = map(int, part.split("/"))
        own = [item for item in items if item.get_closest_marker("exhaustive")]
        left = {item for item in own if item.get_closest_marker("everything")}
        left |= {item for item in own if crc32(item.nodeid.encode()) % parts != number % parts}
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = [item for item in items if item not in left]
    items.sort(key=lambda item: "judge" not in getattr(item, "fixturenames", ()))


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Take a line of figures that is printed when all tests have run."""

    def take(line: str) -> None:
        request.node.user_properties.append((FIGURE, line))

    return take


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Callable[[str, Mapping[str, int]], None]:
    """Take what was counted; the sums over all tests are printed when they have run."""

    def take(what: str, counts: Mapping[str, int]) -> None:
        request.node.user_properties.append((COUNTS, (what, dict(counts))))

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have measured, and the sums of what they have counted."""
    reports = [each for end in ("passed", "failed", "xfailed") for each in terminalreporter.getreports(end)]
    taken = [pair for report in reports for pair in report.user_properties]
    lines = [line for name, line in taken if name == FIGURE]
    sums: dict[str, Counter[str]] = {}
    for what, counts in (pair for name, pair in taken if name == COUNTS):
        sums.setdefault(what, Counter()).update(counts)
    for what, counts in sums.items():
        lines.append(f"{what}: {', '.join(f'{number} {name}' for name, number in counts.items())}")
    if lines:
        terminalreporter.section("figures")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def exports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    if request.config.getoption(NO_CACHE):
        return Exports(shared_folder(tmp_path_factory, "exports"))
    return Exports(remembered("exports", sources()))


@pytest.fixture(scope="session")
def exported(exports: Exports) -> Exported:
    """Give a case's bundle; treat it as read-only."""
    return exports


@pytest.fixture(scope="session")
def exported_ragged(exports: Exports) -> Exported:
    """Give a case's bundle for rows that end apart; treat it as read-only."""
    return partial(exports, lengths=True)


ASK, START = process.ask, process.Workers.start


@pytest.fixture(scope="session", autouse=True)
def nursery() -> Iterator[Nursery]:
    """Answer what verify asks in forks of one process, which has imported all that a fresh one has to."""
    with closing(Nursery()) as started, pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "ask", started.ask)
        patch.setattr(process.Workers, "start", lambda *_: None)
        yield started


@pytest.fixture(scope="session", autouse=True)
def shared_runs() -> Iterator[None]:
    """Run the models of ``optimize`` in one process, which starts with the first of them."""
    with model_runs() as runs, pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizer, "model_runs", lambda: nullcontext(runs))
        yield


@pytest.fixture(scope="session", autouse=True)
def torchlib() -> Iterator[None]:
    """Read PyTorch's table of operators in ONNX once: else it takes a third of the time of every capture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope="session", autouse=True)
def near() -> Iterator[None]:
    """Let exports run fewer time steps and rows than those of users, which take half of their time for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "FAR", NEAR)
        yield


@pytest.fixture(autouse=True)
def far(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as many as for a user where a test is marked so, or is exhaustive."""
    if any(request.node.get_closest_marker(name) for name in ("far", "exhaustive")):
        monkeypatch.setattr(grid, "FAR", FAR)


@pytest.fixture
def fresh_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer it as for a user, in a fresh process each."""
    monkeypatch.setattr(process, "ask", ASK)
    monkeypatch.setattr(process.Workers, "start", START)
    monkeypatch.setattr(optimizer, "model_runs", model_runs)


@pytest.fixture
def rnn() -> ModelCase:
    """Give the plain net, for what does not depend on the model."""
    return next(case for case in CASES if case.name == "rnn")


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Run as a user without rights: as root every folder can be written."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def seed_file(tmp_path: Path) -> Path:
    """Give a user's file, with a factory for the net of the notebook."""
    path = tmp_path / "seed_run.py"
    notebook = (Path(__file__).parent / "support" / "notebook.py").read_text()
    path.write_text(
        f"{notebook}\n\n"
        "def factory():\n"
        "    torch.manual_seed(0)\n"
        "    model = RNNScratch(16, 32, 1)\n"
        "    return model, (torch.rand(20, 2, 16), model.begin_state(2, torch.device('cpu')))\n"
    )
    return path
