"""What a person types wrong on the command line, and the words that have to come: cause and remedy."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnn_export.cli.main import app
from tests.support.paths import ARTIFACTS
from tests.support.pem_keys import write_key

BUNDLE = str(ARTIFACTS / "rnn_scratch")
SOURCES = {
    "nets.py": """
import sys
import torch
from torch import nn

class Net(nn.GRU):
    pass

made = nn.GRU(4, 6)

def factory():
    return nn.GRU(4, 6)

def listed():
    return [nn.GRU(4, 6), torch.zeros(9, 3, 4)]

def sized(hidden):
    return nn.GRU(4, hidden), torch.zeros(9, 3, 4)

def leaving():
    sys.exit(3)

def unread():
    return load("nope.pt")

def load(path):
    return open(path)

def unfitting():
    model = nn.GRU(4, 6)
    model.load_state_dict(nn.GRU(4, 7).state_dict())
    return model, torch.zeros(9, 3, 4)

def named():
    return "model", torch.zeros(9, 3, 4)

def good():
    return nn.GRU(4, 6), torch.zeros(9, 3, 4)
""",
    "alone.py": "from .cells import factory\n",
    "package/__init__.py": "",
    "package/cells.py": "from .others import factory\n",
    "typed_wrong.py": "def factory(:\n",
    "needing.py": "import no_such_package_of_theirs\n",
    "running.py": "raise SystemExit('usage: running.py FILE')\n",
    "json.py": "def factory(): ...\n",
    "dividing.py": "x = [1 / number for number in (1, 0)]\n",
    "weights.pth": "",
    "text.pt": "no archive",
    "folder/notes.txt": "",
}


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = {*sys.modules}
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    yield
    for name in {*sys.modules} & {Path(name).stem for name in SOURCES} - before:
        sys.modules.pop(name)


RETURN = "Write a function that returns (model, args)"
COMMANDS: dict[str, tuple[str, int, list[str]]] = {
    # --- targets ---
    "the model alone": (
        "export nets.py:factory --out b",
        1,
        ["result of nets.py:factory: expected (torch.nn.Module, args)", "got GRU", "Return the example too"],
    ),
    "a list": ("export nets.py:listed --out b", 1, ["got a list of GRU, Tensor", "Return a tuple"]),
    "no model": ("export nets.py:named --out b", 1, ["got (str, Tensor)", RETURN]),
    "a package": ("export nets.py:torch --out b", 1, ["expected a function, got a module", RETURN]),
    "no name": ("export :factory --out b", 1, ["expected MODULE:FACTORY or FILE.py:FACTORY"]),
    "a file that is called like a package": (
        "export json.py:factory --out b",
        1,
        ["a module called 'json' is loaded already", "Rename the file"],
    ),
    "a factory with arguments": (
        "export nets.py:sized --out b",
        1,
        ["'sized' in nets.py: expected a function without arguments, got sized(hidden)", RETURN],
    ),
    "the class": ("export nets.py:Net --out b", 1, ["got the class Net", RETURN]),
    "the model": ("export nets.py:made --out b", 1, ["expected a function, got a GRU", RETURN]),
    "a slip of the pen": ("export nets.py:factroy --out b", 1, ["no such name", "Did you mean 'factory'?"]),
    "no factory": ("export nets.py --out b", 1, ["got 'nets.py'", "nets.py:FACTORY", "factory, listed"]),
    "an ONNX file": ("export model.onnx --out b", 1, ["rnn-export optimize model.onnx"]),
    "a checkpoint": ("export weights.pth --out b", 1, ["--checkpoint weights.pth"]),
    "no such file": ("export net.py:good --out b", 1, ["net.py: no such file in ", "Did you mean nets.py?"]),
    "no such module": ("export nest:good --out b", 1, ["no module 'nest'", "Did you mean 'nets'?"]),
    "a path without its ending": ("export package/cells:f --out b", 1, ["Did you mean package/cells.py:f?"]),
    "a relative import in a package": (
        "export package/cells.py:factory --out b",
        1,
        ["from .others import factory", "relative import", "package.cells:factory"],
    ),
    "a relative import alone": ("export alone.py:factory --out b", 1, ["relative import", "without the dot"]),
    "a syntax error": ("export typed_wrong.py:factory --out b", 1, ["def factory(:", "SyntaxError"]),
    "a package that is not there": (
        "export needing.py:factory --out b",
        1,
        ["No module named 'no_such_package_of_theirs'", "pip install", sys.executable],
    ),
    "a script that leaves": (
        "export running.py:factory --out b",
        1,
        ["running.py ends the program by SystemExit: usage: running.py FILE", "__main__"],
    ),
    "an error at import": (
        "export dividing.py:factory --out b",
        1,
        ["dividing.py", "line 1", "1 / number", "ZeroDivisionError: division by zero"],
    ),
    "a factory that leaves": (
        "export nets.py:leaving --out b",
        1,
        ["nets.py:leaving ends the program by SystemExit: 3", "sys.exit(3)", "Return instead"],
    ),
    "a checkpoint that is not there": (
        "export nets.py:unread --out b",
        1,
        ["return load(", "return open(path)", "nets.py:unread failed: FileNotFoundError", "--debug"],
    ),
    "a checkpoint that does not fit": (
        "export nets.py:unfitting --out b",
        1,
        ["model.load_state_dict", "size mismatch for weight_ih_l0", "nets.py:unfitting failed: RuntimeError"],
    ),
    "a .pt without a shape": ("export text.pt --out b", 1, ["got none", "Pass --shape"]),
    "a .pt that is not there": ("export gone.pt --out b --shape 3,2,4", 1, ["gone.pt: no such file"]),
    "a .pt that is none": (
        "export text.pt --out b --shape 3,2,4",
        1,
        ["text.pt cannot be loaded", "a state dict"],
    ),
    "a checkpoint for a .pt": (
        "export text.pt --out b --shape 3,2,4 --checkpoint weights.pth",
        1,
        ["--checkpoint: expected a factory, got 'text.pt'", "leave it out"],
    ),
    "a shape of words": ("export text.pt --out b --shape 3xx4", 1, ["got '3xx4'", "Pass --shape"]),
    "a role without a name": ("export nets.py:good --out b --role context", 1, ["expected NAME=VALUE"]),
    "a role that is none": (
        "export nets.py:good --out b --role input=contxt",
        1,
        ["role of 'input': expected 'sequence', 'context', 'state'", "Did you mean 'context'?"],
    ),
    "axes of no argument": (
        "export nets.py:good --out b --axes inptu=time,batch,_",
        1,
        ["axes: expected 'input', 'inputs', got 'inptu'", "Did you mean 'input'?"],
    ),
    "something unknown required": ("export nets.py:good --out b --require onxx", 1, ["Did you mean 'onnx'?"]),
    # --- commands and options ---
    "a command": ("exprt nets.py:good", 2, ["Did you mean 'export'"]),
    "an option": ("export nets.py:good --out b --overwrit", 2, ["--overwrite"]),
    "no --out": ("export nets.py:good", 2, ["Missing option '--out'"]),
    "two kinds": (f"compile {BUNDLE} --out x --static --shared", 2, ["expected one of --shared, --static"]),
    "a shape of one number": (f"bench {BUNDLE} --shape 3", 2, ["expected T,B, as 100,2, got '3'"]),
    "no module to compare with": (f"bench {BUNDLE} --eager gone.py:good", 1, ["gone.py: no such file"]),
    "a host": (f"scaffold {BUNDLE} --host pyton --out x", 1, ["got 'pyton'", "Did you mean 'python'?"]),
    "one bundle twice": (f"scaffold {BUNDLE} {BUNDLE} --host c --out x", 1, ["a name of its own for each"]),
    "an opset": (f"optimize {BUNDLE}/model.onnx --out y --opset 3", 1, ["opset: expected a number from 7"]),
    "no ONNX file": ("optimize gone.onnx --out y.onnx", 1, ["No such file", "Check the path"]),
    "another file": ("optimize nets.py --out y.onnx", 1, ["nets.py: expected an ONNX model"]),
    # --- folders ---
    "a bundle that is not there": (
        "verify gone",
        1,
        ["gone: expected a folder with manifest.json", "no such"],
    ),
    "a file as a bundle": ("verify nets.py", 1, ["got a file", "Name a bundle's folder"]),
    "a file of a bundle": (f"inspect {BUNDLE}/model.onnx", 1, ["got a file", f"Name its folder, {BUNDLE}"]),
    "another folder": ("verify folder", 1, ["got a folder without", "Name a bundle's folder"]),
    "the folder of bundles": (f"verify {ARTIFACTS}", 1, ["Name one of those in it: char_rnn, rnn_scratch"]),
    # --- keys ---
    "an unsigned bundle": (
        f"verify {BUNDLE} --key own.pub.pem",
        1,
        ["is not signed: there is no ", "rnn_scratch.sig", "--signature"],
    ),
    "an RSA key to sign": (
        f"sign {BUNDLE} --key rsa.pem --signature s",
        1,
        ["expected an elliptic private key", "got RSA", "openssl ec"],
    ),
    "an RSA key to check": (
        f"verify {BUNDLE} --key rsa.pub.pem --signature text.pt",
        1,
        ["expected an elliptic public key", "got RSA", "Ask who signed"],
    ),
    "a public key to sign": (
        f"sign {BUNDLE} --key own.pub.pem --signature s",
        1,
        ["expected an elliptic private key", "got a public one"],
    ),
    "a private key to check": (
        f"verify {BUNDLE} --key own.pem --signature text.pt",
        1,
        ["expected an elliptic public key", "got a private one", "openssl ec -in own.pem -pubout"],
    ),
    "no key": (f"sign {BUNDLE} --key gone.pem --signature s", 1, ["gone.pem", "No such file", "openssl ec"]),
}


@pytest.mark.daily
@pytest.mark.parametrize(("typed", "status", "words"), COMMANDS.values(), ids=COMMANDS)
def test_the_cause_and_the_remedy_are_said(
    typed: str, status: int, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("own", "rsa") if "pem" in typed else ():
        write_key(tmp_path, name)
    monkeypatch.setenv("COLUMNS", "200")
    ended = CliRunner().invoke(app, typed.split())
    assert ended.exit_code == status, ended.output
    assert [word for word in words if word not in ended.output] == [], ended.output
    assert "rnn_export/" not in ended.output
    assert not Path("b").exists()


def test_what_a_user_typed_is_no_emoji_and_no_markup() -> None:
    ended = CliRunner().invoke(app, ["export", "nets.py:factory", "--out", "b"])
    assert "result of nets.py:factory: expected" in ended.output
    ended = CliRunner().invoke(app, ["verify", "[red]gone[/red]:factory:"])
    assert "[red]gone[/red]:factory:: expected" in ended.output


def test_debug_shows_where_the_error_was_raised() -> None:
    ended = CliRunner().invoke(app, ["export", "nets.py:unread", "--out", "b", "--debug"])
    assert ended.exit_code == 1
    assert "rnn_export/cli/target.py" in ended.output.replace("\n", "")
    assert ended.output.rstrip().endswith("FACTORY.") is False
    assert "nets.py:unread failed: FileNotFoundError" in ended.output


def test_ctrl_c_in_a_factory_ends_as_ever() -> None:
    Path("slow.py").write_text("def factory():\n    raise KeyboardInterrupt\n")
    assert CliRunner().invoke(app, ["export", "slow.py:factory", "--out", "b"]).exit_code == 130


def test_a_terminal_that_is_no_utf8_shows_the_error() -> None:
    command = [Path(sys.executable).with_name("rnn-export"), "verify", "gone"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (ended.returncode, "expected a folder with manifest.json" in ended.stderr) == (1, True)
