"""scripts/first_use.py: six people get their first right number from the installed wheel."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import ROOT

NAMES = ("student", "engineer", "embedder", "onnx", "operations", "researcher")
NEEDED = {"embedder": ("cc",), "operations": ("c++", "cmake", "openssl")}
# What each has to be told, beside the number.
TOLD = {
    "student": "VerificationReport of &#x27;tagger&#x27;: every file agrees",
    "engineer": "bundle: every file agrees with eager PyTorch",
    "embedder": "every file agrees with eager PyTorch",
    "onnx": "times as fast",
    "operations": "fan: every file agrees with eager PyTorch",
    "researcher": "how many times as fast as your module in PyTorch",
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        return importlib.import_module("first_use")


@pytest.fixture(scope="module")
def programs(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return script.install(tmp_path_factory.mktemp("wheel"))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.needs(*NEEDED.get(name, ()))) for name in NAMES]
)
def test_somebody_gets_a_right_number(
    name: str, script: ModuleType, programs: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    played = script.play(script.PEOPLE[name], programs, tmp_path)
    figure(f"{name}: {played.commands} commands, {played.seconds:.0f} s to the first right number")
    assert played.right, played.text
    assert TOLD[name] in played.text
    for word in ("Traceback", "Warning", "warning:", "failed", str(ROOT)):
        assert word not in played.text


def test_everybody_is_played(script: ModuleType) -> None:
    assert tuple(script.PEOPLE) == NAMES


def test_no_number_and_a_wrong_one_are_seen(script: ModuleType, tmp_path: Path) -> None:
    for said, commands, right in (
        ("nothing", 0, False),
        ("first right number: 0.5, off by 2.0e-03", 2, False),
        ("first right number: 0.5, off by 6.0e-08", 2, True),
        ("first right number: 0.5, off by nan", 2, False),
    ):
        person = script.Person("somebody", {"a/b.txt": said}, ["true", "cat a/b.txt", "true"])
        (tmp_path / said).mkdir()
        played = script.play(person, tmp_path, tmp_path / said)
        assert (played.commands, played.right) == (commands, right)


def test_a_command_that_fails_is_told(script: ModuleType, tmp_path: Path) -> None:
    person = script.Person("somebody", {}, ["echo why >&2; exit 3"])
    with pytest.raises(RuntimeError, match=r"(?s)exit 3 ends with status 3:\nwhy"):
        script.play(person, tmp_path, tmp_path)
