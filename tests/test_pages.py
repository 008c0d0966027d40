"""The README and every page of docs/ run as they stand: block after block, from an empty folder."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.pages import Block, Reader, blocks
from tests.support.paths import ROOT

README = ROOT / "README.md"
PAGES = {path.name: path for path in (README, *sorted((ROOT / "docs").glob("*.md")))}
WITH_BLOCKS = [
    "README.md",
    "embedding.md",
    "mlflow.md",
    "performance.md",
    "scoring.md",
    "serving.md",
    "trust.md",
    "verification.md",
]
NEEDED = {
    "README.md": ["cc"],
    "embedding.md": ["cc", "c++", "g++", "cargo"],
    "scoring.md": ["cc"],
    "trust.md": ["openssl"],
}
CURL = "curl -s 127.0.0.1:8080/v2/models/my_rnn/infer -H 'Content-Type: application/json' -d @request.json"
TRITON = "tritonserver --model-repository my_triton/repository " + " ".join(
    f"--{kind}-address 127.0.0.1" for kind in ("http", "grpc", "metrics")
)
IMAGE = "docker build -t rnn-export-{0} -f deploy/{0}/Dockerfile ."
MOUNTED = '-v "$PWD/bundles/my_rnn:/mnt/models:ro"'
DOCKER = f"docker run --rm -p 127.0.0.1:8080:8080 {MOUNTED} rnn-export-kserve"
# What is not run here, and why. Every line has to be on some page.
LEFT_OUT = {
    "make artifacts": "it is a command of its own in .ci/run",
    "make test": "these tests are what it runs",
    "pip install 'rnn-export[sign]'": "it needs the network",
    "pip install 'rnn-export[score]'": "it needs the network",
    "pip install 'rnn-export[mlflow]'": "it needs the network",
    "mlflow models serve -m models:/my_rnn/1 -h 127.0.0.1 -p 5001 --env-manager local": "it needs MLflow; "
    "make test-fleets runs one like it",
    "pip install 'rnn-export[ray]'": "it needs the network",
    "rnn-export score bundles/my_rnn day1.parquet --out scores_of_ray --ray --workers 2": "it needs Ray; "
    "make test-fleets runs one like it",
    'pytest -m "" -k chaos': "tests/verification/test_chaos.py is among the exhaustive tests",
    "python benchmarks/weight_change.py": "it takes hours: every weight of every model of the tests",
    "docker build -t recurrent-service -f deploy/Dockerfile .": "buildah does, in make test-deployment",
    "kubectl apply -f deploy/kubernetes.yaml": "it needs a cluster; its schema is checked",
    "systemctl enable --now recurrent-service": "it needs systemd as the first process; the unit is checked",
    "make test-deployment": "it is a command of its own in .ci/run",
    "pip install 'rnn-export[kserve]'": "it needs the network",
    "pip install 'rnn-export[mlserver]'": "it needs the network",
    "python -m rnn_export.kserve bundles/my_rnn --port 8080 --grpc-port 8081": "make test-fleets does",
    "mlserver start server": "make test-fleets does, with such settings",
    CURL: "make test-fleets sends such requests to a server that it starts",
    IMAGE.format("kserve"): "buildah does, in make test-deployment",
    IMAGE.format("mlserver"): "buildah does, in make test-deployment",
    DOCKER: "it needs docker",
    "my_triton/ci.sh": "make test-examples runs it",
    TRITON: "there is no package of Triton",
}
# The model that docs/embedding.md speaks of, with several inputs and outputs.
SEVERAL = """
import torch, rnn_export
class Agent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.heads = torch.nn.GRUCell(5, 8), torch.nn.Linear(8, 4)
    def forward(self, x, dt, state):
        outputs = []
        for x_t, dt_t in zip(x, dt):
            state = self.cell(torch.cat((x_t, dt_t[:, None]), 1), state)
            outputs.append(self.heads(state))
        heads = torch.stack(outputs)
        return {"policy": heads[..., :3], "value": heads[..., 3]}, state
example = torch.rand(9, 2, 4), torch.rand(9, 2), torch.zeros(2, 8)
rnn_export.export(Agent(), example, "agent")
runner, x, dt, state = rnn_export.load("agent"), example[0].numpy(), example[1].numpy(), None
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Give somebody in an empty folder, whose ``python`` and ``rnn-export`` are those of these tests."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("DISPLAY", raising=False)  # no page is opened
    return Reader(tmp_path, LEFT_OUT)


@pytest.fixture
def begun(reader: Reader) -> Reader:
    """Give somebody who has done the README's Python and first export, in a clone, as docs/index.md says."""
    for block in blocks(README):
        if block.language == "python":
            reader.play(block)
        elif block.text.startswith("rnn-export export "):
            reader.command(block.text.splitlines()[0], block)
    for name in ("artifacts", "scripts"):
        (reader.folder / name).symlink_to(ROOT / name)
    reader.ran.clear()
    return reader


@pytest.mark.exhaustive
@pytest.mark.needs(*NEEDED["README.md"])
def test_the_readme_runs_as_it_stands(reader: Reader, figure: Callable[[str], None]) -> None:
    reader.read(README)
    figure(told("README.md", reader))
    assert reader.ran.count("Python") == 1
    assert sum(each.startswith("rnn-export ") for each in reader.ran) == 9


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.needs(*NEEDED.get(name, []))) for name in WITH_BLOCKS[1:]]
)
def test_a_page_runs_as_it_stands(name: str, begun: Reader, figure: Callable[[str], None]) -> None:
    if name == "embedding.md":
        begun.play(Block(name, 0, "python", SEVERAL, ""))
    begun.read(PAGES[name])
    figure(told(name, begun))
    assert begun.ran


def test_no_page_with_blocks_is_forgotten() -> None:
    assert [name for name, page in PAGES.items() if blocks(page)] == WITH_BLOCKS


def test_what_is_left_out_is_on_a_page() -> None:
    shown = "\n".join(page.read_text() for page in PAGES.values())
    assert [command for command in LEFT_OUT if command not in shown] == []


def told(name: str, reader: Reader) -> str:
    """Say what was run of a page and what was not, for the figures at the end of the tests."""
    left = "".join(f"; not run: {command}: {LEFT_OUT[command]}" for command in reader.not_run)
    return f"{name}: {len(reader.ran)} blocks and commands ran{left}"


@pytest.mark.parametrize(
    ("page", "error"),
    [
        ("```sh\nfalse # no\n```\n", "page.md:1: false"),
        ("```sh\nnowhere-to-be-found\n```\n", "page.md:1: nowhere"),
        ("# A\n\n    $ echo 1\n    2\n", "page.md:3: it shows"),
        ("```python\nprint(2)  # 3\n```\n", "page.md:1: it shows"),
        ("```python\nprint(2)\n```\n\n```\n3\n```\n", "page.md:5: it shows"),
        ("```rust\nfn main() {}\n```\n", "nobody knows how to run rust"),
        ("In `b/a.py` and `README.md`, so:\n\n```js\nlet a;\n```\n", "nobody knows how to run js"),
        ("```c\nint main(void) { retur 0; }\n```\n", "page.md:1: "),
        ("```sh\nrm none\n```\n", "page.md:1: rm none"),
    ],
)
@pytest.mark.several(9)
def test_what_does_not_run_is_found(page: str, error: str, reader: Reader) -> None:
    file = reader.folder / "page.md"
    file.write_text(page)
    with pytest.raises(AssertionError, match=error):
        reader.read(file)


@pytest.mark.several(6)
@pytest.mark.parametrize(
    ("page", "ran"),
    [
        ("```sh\necho 1 > one  # a file\ncat one\n```\n", ["echo 1 > one", "cat one"]),
        (
            "In `a.py`:\n\n```python\nA = 1\n```\n\n```sh\npython -c 'import a'\n```",
            ["a.py", "python -c 'import a'"],
        ),
        ("```python\na = 1\n```\n\n```python\nprint(a)  # 1\n```\n", ["Python", "Python"]),
        ("```sh\necho 3.1e-07\n```\n\n```\n2.2e-06\n```\n", ["echo 3.1e-07"]),
        ("```sh\nmake test\n```\n", []),
        ('```c\n#include <stdio.h>\nint main(void) { puts("1"); }\n```\n\n```\n1\n```\n', ["a program in c"]),
    ],
)
def test_what_runs_is_run(page: str, ran: list[str], reader: Reader) -> None:
    file = reader.folder / "page.md"
    file.write_text(page)
    reader.read(file)
    assert reader.ran == ran
