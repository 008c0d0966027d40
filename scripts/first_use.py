"""Play six people who meet rnn-export for the first time, on the installed wheel, from empty folders.

python scripts/first_use.py [PERSON...]

A student in a notebook, an engineer with a package and a checkpoint, an embedder who gets a folder, somebody
with an ONNX file, operations, and a researcher. Prints the commands of each with all that they say, to be
read as that person would, and at the end how many commands and seconds it took to the first right number.
The exit status is 0 only if everybody got one.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
RIGHT = re.compile(r"^(?:In \[\d+\]: )?first right number: (\S+), off by (\S+)$", re.MULTILINE)
NEAR = 1e-5  # of numbers of about one, in float32

# Runs a file of cells as a notebook does: what the last line of a cell gives is shown, with its table.
CELLS = """
import ast, re, sys
names = {}
for number, cell in enumerate(open(sys.argv[1]).read().split("# %%\\n")[1:], 1):
    *lines, last = ast.parse(cell).body
    print(f"In [{number}]: " + cell.strip().replace("\\n", "\\n        "))
    exec(compile(ast.Module(lines, []), "cell", "exec"), names)
    if not isinstance(last, ast.Expr):
        exec(compile(ast.Module([last], []), "cell", "exec"), names)
    elif (value := eval(compile(ast.Expression(last.value), "cell", "eval"), names)) is not None:
        html = value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)
        text = re.sub("</t[dh]><t[dh]>", "  |  ", html.replace("</tr>", "\\n").replace("</p>", "\\n"))
        print(f"Out[{number}]: " + re.sub("<[^>]*>", "", text))
"""

LESSON = """# %%
import torch
from torch import nn

class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(8, 16), nn.Linear(16, 3)

    def forward(self, sentence, h):
        tags = []
        for word in sentence:
            h = self.cell(word, h)
            tags.append(self.head(h))
        return torch.stack(tags), h

model, example = Tagger(), (torch.randn(12, 2, 8), torch.zeros(2, 16))
# %%
import rnn_export
bundle = rnn_export.export(model, example, "tagger")
# %%
bundle
# %%
runner = rnn_export.load("tagger")
runner
# %%
sentence = torch.randn(30, 1, 8)  # longer, and only one
tags, h = runner(sentence)
away = abs(tags - model(sentence, torch.zeros(1, 16))[0].detach().numpy()).max()
print(f"first right number: {tags[0, 0, 0]:.6f}, off by {away:.1e}")
# %%
rnn_export.verify("tagger")
"""

NETS = """
from torch import nn
class Forecaster(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.rnn = nn.LSTM(features, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 1)
    def forward(self, x, state=None):
        out, state = self.rnn(x, state)
        return self.head(out), state
"""
SERVING = """
import torch
from .nets import Forecaster
def build():
    return Forecaster(6, 24), torch.zeros(1, 50, 6)
"""
TRAINED = """
import torch
from acme.nets import Forecaster
torch.manual_seed(3)
torch.save({"epoch": 12, "state_dict": Forecaster(6, 24).state_dict()}, "epoch12.pt")
"""
SERVED = """
import numpy, rnn_export, torch
from acme.nets import Forecaster
trained = Forecaster(6, 24)
trained.load_state_dict(torch.load("epoch12.pt", weights_only=True)["state_dict"])
x = torch.randn(4, 80, 6)
forecast, state = rnn_export.load("bundle", "c")(x)
away = abs(forecast - trained(x)[0].detach().numpy()).max()
print(f"first right number: {forecast[0, 0, 0]:.6f}, off by {away:.1e}")
"""

EXPORTED = """
import torch, warnings
warnings.simplefilter("ignore")
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Linear(4, 30)
        self.u = torch.nn.Linear(10, 30)
    def forward(self, x: torch.Tensor):
        h = torch.zeros(x.size(1), 10)
        out: list[torch.Tensor] = []
        for t in range(x.size(0)):
            a, b = self.w(x[t]), self.u(h)
            r, z = torch.sigmoid(a[:, :10] + b[:, :10]), torch.sigmoid(a[:, 10:20] + b[:, 10:20])
            h = (1 - z) * torch.tanh(a[:, 20:] + r * b[:, 20:]) + z * h
            out.append(h)
        return torch.stack(out)
free = {0: "time", 1: "batch"}
torch.onnx.export(torch.jit.script(Net()), torch.randn(5, 2, 4), "theirs.onnx", dynamo=False,
    input_names=["x"], output_names=["y"], dynamic_axes={"x": free, "y": free})
"""
BOTH = """
import numpy, onnxruntime
x = numpy.random.default_rng(0).standard_normal((70, 3, 4)).astype("float32")
files = "theirs.onnx", "faster.onnx"
before, after = (onnxruntime.InferenceSession(file).run(None, {"x": x})[0] for file in files)
print(f"first right number: {after[0, 0, 0]:.6f}, off by {abs(after - before).max():.1e}")
"""

STUDY = """
import torch, rnn_export
from torch import nn
class Leaky(nn.Module):
    '''h_t = (1 - a) h_(t-1) + a norm(tanh(W x_t + U h_(t-1))), with a learned for each unit.'''
    def __init__(self):
        super().__init__()
        self.W, self.U = nn.Linear(5, 32), nn.Linear(32, 32, bias=False)
        self.a, self.norm = nn.Parameter(torch.rand(32)), nn.LayerNorm(32)
    def forward(self, x, state: dict):
        h, kept = state["h"], []
        for x_t in x.unbind(0):
            a = torch.sigmoid(self.a)
            h = (1 - a) * h + a * self.norm(torch.tanh(self.W(x_t) + self.U(h)))
            kept.append(h)
        return torch.stack(kept), {"h": h}
def factory():
    torch.manual_seed(0)
    return Leaky(), (torch.randn(40, 2, 5), {"h": torch.zeros(2, 32)})
if __name__ == "__main__":
    model, example = factory()
    rnn_export.export(model, example, "leaky")
    x = torch.randn(3000, 1, 5)
    y, state = rnn_export.load("leaky")(x)
    away = abs(y - model(x, {"h": torch.zeros(1, 32)})[0].detach().numpy()).max()
    print(f"first right number: {y[0, 0, 0]:.6f}, off by {away:.1e}")
"""

MADE = """
import torch, rnn_export
torch.manual_seed(5)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = torch.nn.LSTM(4, 12), torch.nn.Linear(12, 2)
    def forward(self, x, state):
        out, state = self.rnn(x, state)
        return self.head(out), state
state = torch.zeros(1, 1, 12), torch.zeros(1, 1, 12)
rnn_export.export(Net(), (torch.randn(20, 1, 4), state), "fan", progress=False)
"""
# What a reader of the README of a bundle copies: the first program in C.
COPIED = """
import pathlib, re
text = pathlib.Path("fan/README.md").read_text()
pathlib.Path("call.c").write_text(re.search(r"```c\\n(.*?)```", text, re.S)[1])
print(re.search(r"`(cc [^`]*)`", text)[1])
"""
# The same call, by another file of the bundle.
AGREES = """
import numpy, onnxruntime, sys
session = onnxruntime.InferenceSession("fan/model.onnx")
call = {i.name: numpy.zeros([{"time": 5, "batch": 2}.get(s, s) for s in i.shape], "float32")
    for i in session.get_inputs()}
wanted, got = session.run(None, call)[0].ravel()[0], float(sys.stdin.read().split()[0])
print(f"first right number: {got:.6f}, off by {abs(got - wanted):.1e}")
"""
# A request to the service, and the same call of a file of the bundle.
SERVE = """
import json, numpy, onnxruntime, subprocess, urllib.request
server = subprocess.Popen(["build/service", "--port", "0"], cwd="service", stdout=subprocess.PIPE, text=True)
try:
    address = next(line.split()[-1] for line in server.stdout if line.startswith("listening"))
    x = numpy.ones((3, 1, 4), "float32")
    sent = {"name": "inputs", "datatype": "FP32", "shape": [3, 1, 4], "data": x.ravel().tolist()}
    body = json.dumps({"inputs": [sent]}).encode()
    with urllib.request.urlopen(f"{address}/v2/models/fan/infer", body) as answer:
        got = json.load(answer)["outputs"][0]["data"]
finally:
    server.terminate()
    server.wait()
session = onnxruntime.InferenceSession("fan/model.onnx")
zeros = {i.name: numpy.zeros([1 if s == "batch" else s for s in i.shape], "float32")
    for i in session.get_inputs()[1:]}
wanted = session.run(None, {"inputs": x, **zeros})[0].ravel()
print(f"first right number: {got[0]:.6f}, off by {abs(wanted - got).max():.1e}")
"""


@dataclass(frozen=True)
class Person:
    """Who has which files, and a wish: ``before`` is done by others, ``commands`` by the person."""

    who: str
    files: Mapping[str, str]
    commands: Sequence[str]
    before: Sequence[str] = ()


PEOPLE = {
    "student": Person(
        "a student, whose notebook has a model with a loop",
        {"cells.py": CELLS, "lesson.ipynb.py": LESSON},
        ["python cells.py lesson.ipynb.py"],
    ),
    "engineer": Person(
        "an engineer, who has a package and a checkpoint of training",
        {
            "acme/__init__.py": "",
            "acme/nets.py": NETS,
            "acme/serving.py": SERVING,
            "trained.py": TRAINED,
            "served.py": SERVED,
        },
        [
            "rnn-export export acme.serving:build --checkpoint epoch12.pt --out bundle --require c,onnx",
            "python served.py",
            "rnn-export inspect bundle",
        ],
        ["python trained.py"],
    ),
    "embedder": Person(
        "an embedder, who gets a folder and has a C compiler and Python with ONNX Runtime",
        {"made.py": MADE, "copied.py": COPIED, "agrees.py": AGREES},
        [
            "head -40 fan/README.md",
            "python copied.py",
            "cc -O2 -march=native -Ifan call.c fan/model.c -o call && ./call",
            "./call | python agrees.py",
        ],
        ["python made.py"],
    ),
    "onnx": Person(
        "somebody who has an ONNX file with a loop, of PyTorch's own exporter",
        {"exported.py": EXPORTED, "both.py": BOTH},
        ["rnn-export optimize theirs.onnx --out faster.onnx", "python both.py"],
        ["python exported.py"],
    ),
    "operations": Person(
        "operations, who get a bundle, its signature and the public key, and are to serve it",
        {"made.py": MADE, "serve.py": SERVE},
        [
            "rnn-export verify fan --key PUBLIC.pem",
            "rnn-export scaffold fan --host service-cpp --out service",
            "service/build.sh",
            "python serve.py",
        ],
        [
            "python made.py",
            "openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem",
            "openssl ec -in KEY.pem -pubout -out PUBLIC.pem",
            "rnn-export sign fan --key KEY.pem",
        ],
    ),
    "researcher": Person(
        "a researcher, who has a cell of a paper to come, and long sequences",
        {"study.py": STUDY},
        [
            "python study.py",
            "rnn-export bench leaky --eager study.py:factory --shape 1000,1",
            "rnn-export inspect leaky --passes",
        ],
    ),
}


@dataclass(frozen=True)
class Played:
    """What became of somebody: commands and seconds to the first number, how far it is off, and all text."""

    commands: int
    seconds: float
    off: float
    text: str

    @property
    def right(self) -> bool:
        """Whether a number came, and was the right one."""
        return self.off < NEAR


def install(folder: Path) -> Path:
    """Build the wheel, install it where this environment's dependencies are seen; give its programs."""
    wheels, own = folder / "wheels", folder / "installed"
    _check([sys.executable, "-m", "build", "--wheel", "--outdir", str(wheels), str(ROOT)], folder)
    _check([sys.executable, "-m", "venv", str(own)], folder)
    [wheel] = wheels.glob("rnn_export-*.whl")
    _check([str(own / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], folder)
    [site] = (own / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return own / "bin"


def play(person: Person, programs: Path, folder: Path) -> Played:
    """Do what a person does, in an empty folder.

    Raises:
        RuntimeError: a command failed; the message is what it said.
    """
    for name, text in person.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DISPLAY")}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    for command in person.before:
        _check(["bash", "-c", command], folder, environment)
    texts, seconds, first = [], 0.0, (0, 0.0, float("inf"))
    for number, command in enumerate(person.commands, 1):
        begun = monotonic()
        said = _check(["bash", "-c", command], folder, environment)
        took = monotonic() - begun
        seconds += took
        texts.append(f"$ {command}\n{said.rstrip()}\n[{took:.1f} s]\n")
        if not first[0] and (found := RIGHT.search(said)):
            first = number, seconds, float(found[2])
    return Played(*first, "\n".join(texts))


def _check(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command, and give what it says."""
    done = subprocess.run(  # noqa: S603
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[-1]} ends with status {done.returncode}:\n{done.stdout}")
    return done.stdout


def play_all(names: Sequence[str]) -> Iterator[tuple[str, Played]]:
    """Install the wheel, and play some people one after another."""
    with tempfile.TemporaryDirectory(prefix="first_use.") as folder:
        programs = install(Path(folder))
        for name in names:
            own = Path(folder) / name
            own.mkdir()
            yield name, play(PEOPLE[name], programs, own)


def main(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="PERSON...", help=f"Of {', '.join(PEOPLE)}.")
    ] = None,
) -> None:
    """Play people who meet rnn-export for the first time."""
    table, all_right = [], True
    for name, played in play_all(names or list(PEOPLE)):
        print(f"\n=== {PEOPLE[name].who}\n\n{played.text}")
        mark = "✓" if played.right else "✗"
        table.append(
            f"{mark} {name:<12}{played.commands:>3} commands{played.seconds:>8.1f} s, off by {played.off:.1e}"
        )
        all_right &= played.right
    print("\nTo the first right number:", *table, sep="\n")
    raise typer.Exit(int(not all_right))


if __name__ == "__main__":
    typer.run(main)
