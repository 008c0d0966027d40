"""What is written appears whole or not at all, whenever the run that writes it is killed."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from rnn_export.bundle import staging
from rnn_export.bundle.bundle import MANIFEST, staged
from rnn_export.errors import BundleError
from tests.support.killing import content, write


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_renameat2", lambda: None)


def on_another_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the C library say that the file system knows no flags of rename."""
    monkeypatch.setattr(staging, "_renameat2", lambda: lambda *_: -1)
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EINVAL)


@pytest.fixture(params=[None, without_exchange, on_another_file_system])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a place to write to, on systems of each kind."""
    if request.param:
        request.param(monkeypatch)
    return tmp_path / "bundle"


def listed(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.exhaustive
@pytest.mark.parametrize("system", ["exchange", "two-renames"])
def test_a_kill_at_any_line_leaves_the_old_one_or_the_new_one(
    tmp_path: Path, system: str, figure: Callable[[str], None]
) -> None:
    line = [sys.executable, "-m", "tests.support.killing", str(tmp_path), system]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = {tuple(line.split()[:3]): int(line.split()[3]) for line in done.stdout.splitlines()}
    seen = {("none", "none", "none"), ("none", "new", "new"), ("old", "old", "old"), ("old", "new", "new")}
    aside = {("old", "none", "old")}  # between two renames; the next run puts it back
    assert {*outcomes} == (seen if system == "exchange" else seen | aside)
    assert all(kills > 10 for outcome, kills in outcomes.items() if outcome not in aside)
    figure(f"kills at every line of what writes a folder ({system}): {sum(outcomes.values())}")


def test_what_a_killed_run_left_is_removed_and_nothing_else(target: Path) -> None:
    left = target.with_name(".bundle.abcd_123.partial")
    others = [
        ".bundle.abc.partial",
        ".other.abcd_123.partial",
        ".a.bundle.abcd_123.partial",
        "bundle.partial",
    ]
    for folder in (left / staging.NEW, *(target.with_name(name) / staging.NEW for name in others)):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    write(target, "new")
    assert listed(target) == sorted([*others, "bundle"])


def test_what_a_running_run_writes_is_left_alone(target: Path) -> None:
    with staged(target, overwrite=True) as slow:
        (slow / MANIFEST).write_text("slow")
        write(target, "quick")
        assert content(target) == "quick"
        assert (slow / MANIFEST).read_text() == "slow"
    assert (target / MANIFEST).read_text() == "slow"
    assert listed(target) == ["bundle"]


def test_of_two_at_once_the_first_to_end_gets_a_free_name(target: Path) -> None:
    with (  # noqa: PT012
        pytest.raises(BundleError, match=r"bundle exists. Name another folder, or pass overwrite"),
        staged(target, overwrite=False) as slow,
    ):
        (slow / MANIFEST).write_text("slow")
        write(target, "quick")
    assert content(target) == "quick"
    assert listed(target) == ["bundle"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_many_at_once_one_wins_and_the_others_are_told(target: Path, overwrite: bool) -> None:
    def one(number: int) -> str:
        try:
            write(target, str(number), overwrite=overwrite)
        except BundleError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(one, range(32)))
    winners = {str(number) for number, error in enumerate(told) if not error}
    assert content(target) in winners
    if not overwrite:
        assert len(winners) == 1
        assert {error for error in told if error and "bundle exists" not in error} == set()
    assert listed(target) == ["bundle"]


def test_a_name_that_is_taken_at_the_last_moment_is_left_alone(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(new: Path) -> None:
        target.mkdir()
        (target / MANIFEST).write_text("late")

    monkeypatch.setattr(staging, "sync", late)
    with (
        pytest.raises(BundleError, match=r"bundle exists. Name another folder"),
        staged(target, overwrite=False),
    ):
        pass
    assert (target / MANIFEST).read_text() == "late"
    assert listed(target) == ["bundle"]


def test_a_bundle_that_a_killed_run_had_set_aside_is_not_overwritten_unasked(target: Path) -> None:
    write(target, "old")
    left = target.with_name(".bundle.abcd_123.partial")
    (left / staging.NEW).mkdir(parents=True)
    target.rename(left / staging.OLD)
    with pytest.raises(BundleError, match="bundle exists"), staged(target, overwrite=False):
        pytest.fail("was entered")
    assert content(target) == "old"
    assert listed(target) == ["bundle"]


def test_a_bundle_that_was_removed_on_purpose_does_not_come_back(target: Path) -> None:
    write(target, "old")
    left = target.with_name(".bundle.abcd_123.partial")
    left.mkdir()
    target.rename(left / staging.OLD)  # the new one was in place when the run was killed, and is removed now
    write(target, "new", overwrite=False)
    assert content(target) == "new"
    assert listed(target) == ["bundle"]


def test_a_bundle_that_cannot_be_put_back_is_kept(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = target.with_name(".bundle.abcd_123.partial")
    (left / staging.NEW).mkdir(parents=True)
    write(left / staging.OLD, "old")
    with monkeypatch.context() as context:
        context.setattr("os.rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        with pytest.raises(BundleError, match="broken"), staged(target, overwrite=True):
            pytest.fail("was entered")
    assert content(left / staging.OLD) == "old"
    staging.clean(target)
    assert content(target) == "old"


def test_an_error_that_is_not_the_systems_goes_through(target: Path) -> None:
    with pytest.raises(OSError, match=r"^could not find class definition$"), staged(target, overwrite=True):
        raise OSError("could not find class definition")
    assert not target.exists()


def test_the_old_one_is_put_back_if_the_new_one_cannot_be_moved(target: Path) -> None:
    write(target, "old")
    with (
        pytest.raises(BundleError, match=r"bundle cannot be written: .*No such file.* A folder was removed"),
        staged(target, overwrite=True) as new,
    ):
        shutil.rmtree(new)
    assert content(target) == "old"
    assert listed(target) == ["bundle"]


@pytest.mark.parametrize("gone", ["its own folder", "the parent"])
def test_a_folder_that_vanishes_is_named(target: Path, gone: str) -> None:
    inner = target.parent / "inner" / "bundle"
    with (  # noqa: PT012
        pytest.raises(BundleError, match=r"bundle cannot be written: .*No such file.* A folder was removed"),
        staged(inner, overwrite=False) as new,
    ):
        shutil.rmtree(new.parent if gone == "its own folder" else inner.parent)
        (new / MANIFEST).write_text("new")
    assert listed(target) == []


def test_parents_that_were_made_go_again_after_an_error(target: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged(target / "inner" / "bundle", overwrite=False):
        raise ZeroDivisionError
    assert listed(target) == []


def test_parents_in_which_somebody_else_writes_stay(target: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged(target / "inner" / "bundle", overwrite=False):  # noqa: PT012
        write(target / "inner" / "other", "other")
        raise ZeroDivisionError
    assert content(target / "inner" / "other") == "other"


def test_a_folder_that_is_cleaned_before_it_is_locked_is_there(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp

    def cleaned_at_once(**options: Any) -> str:
        made = make(**options)
        staging.clean(target)
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", cleaned_at_once)
    write(target, "new")
    assert content(target) == "new"
    assert listed(target) == ["bundle"]


def test_a_folder_that_is_being_cleaned_is_left_to_who_cleans_it(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = tempfile.mkdtemp, []

    locks = []

    def cleaned_meanwhile(**options: Any) -> str:
        made.append(make(**options))
        if len(made) == 1:
            locks.append(FileLock(Path(made[0]) / staging.LOCK))
            locks[0].acquire()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", cleaned_meanwhile)
    write(target, "new")
    assert len(made) == 2
    assert listed(target) == sorted([Path(made[0]).name, "bundle"])


def test_a_folder_that_is_removed_while_it_is_locked_is_made_anew(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock makes sure of its folder: it may see that there is one, and then that it is none."""
    is_dir, removed = Path.is_dir, list[Path]()

    def removed_meanwhile(path: Path) -> bool:
        if path.name.endswith(staging.SUFFIX) and not removed:
            removed.append(path)
            path.rmdir()
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", removed_meanwhile)
    write(target, "new")
    assert len(removed) == 1
    assert listed(target) == ["bundle"]


def test_a_file_appears_whole_in_a_free_place_only(target: Path) -> None:
    one, other = target.with_name("one"), target.with_name("other")
    one.touch()
    staging.claim(one, target)
    other.touch()
    with pytest.raises(FileExistsError):
        staging.claim(other, target)
    assert listed(target) == ["bundle", "other"]


@pytest.fixture
def own(as_nobody: None) -> Iterator[Path]:
    """Give a folder of a user without rights."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_read_only_parent_is_named_and_the_old_bundle_intact(own: Path, overwrite: bool) -> None:
    write(own / "old", "old")
    own.chmod(0o500)
    target = own / ("old" if overwrite else "new")
    with (
        pytest.raises(BundleError, match=r"cannot be written: .*Permission denied.* that you may write to"),
        staged(target, overwrite=overwrite),
    ):
        pytest.fail("was entered")
    assert content(own / "old") == "old"


def test_what_was_read_only_leaves_nothing_behind(own: Path) -> None:
    target = own / "bundle"
    write(target, "old")
    (target / "golden").chmod(0o500)
    write(target, "new")
    assert content(target) == "new"
    assert listed(target) == ["bundle"]
