"""What tests keep from run to run: a bundle is that of the sources, the tools and the options of now."""

import os
from pathlib import Path

import pytest

import rnn_export
from tests.support import exports
from tests.support.cases import ModelCase
from tests.support.exports import MOST, Exports, remembered, sources


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a repository of two sources."""
    for path in ("rnn_export/passes/one.py", "tests/support/cases.py"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("x = 1\n")
    return tmp_path


@pytest.mark.parametrize(
    "path",
    ["rnn_export/passes/one.py", "rnn_export/new.jinja", "tests/support/cases.py", "tests/support/new.py"],
)
def test_a_changed_source_is_another_key(path: str, root: Path) -> None:
    before = sources(root)
    assert sources(root) == before
    (root / path).write_text("x = 2\n")
    assert sources(root) != before


@pytest.mark.parametrize("name", ["CC", "CFLAGS"])
def test_another_option_is_another_key(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sources(root)
    monkeypatch.setenv(name, "cc -g")
    assert sources(root) != before


def test_keys_that_are_not_asked_for_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "CACHE", tmp_path)
    for number in range(MOST + 2):
        remembered("exports", str(number))
        (tmp_path / "exports" / str(number) / "bundle").touch()
    names = {path.name for path in (tmp_path / "exports").iterdir()}
    assert len(names) == MOST
    assert str(MOST + 1) in names


def test_a_case_is_exported_once(rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def export(*arguments: object, **options: object) -> None:
        calls.append((arguments[2], options))

    monkeypatch.setattr(rnn_export, "export", export)
    give = Exports(tmp_path)
    give(rnn)
    give(rnn, lengths=True)
    assert len({folder for folder, _ in calls}) == 2
    assert [options for _, options in calls] == [{"step": False}, {"step": False, "lengths": True}]


def test_a_test_that_changes_the_compiler_changes_no_bundle_of_others(
    rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give, seen = Exports(tmp_path), []
    began = os.environ.get("CC")
    monkeypatch.setattr(rnn_export, "export", lambda *_, **__: seen.append(os.environ.get("CC")))
    monkeypatch.setenv("CC", "no-such-compiler")
    give(rnn)
    assert seen == [began]
    assert os.environ["CC"] == "no-such-compiler"


def test_a_case_that_is_not_in_the_table_is_refused(rnn: ModelCase, tmp_path: Path) -> None:
    other = ModelCase("rnn", rnn.make, rnn.inputs)
    with pytest.raises(AssertionError, match="expected a case of the table"):
        Exports(tmp_path)(other)
