"""Who signed a bundle: the owner of the key, all of it, or it is refused."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnn_export.bundle import signing
from rnn_export.cli.main import app
from rnn_export.errors import BundleError, SigningError
from tests.support.paths import ARTIFACTS
from tests.support.pem_keys import write_key

BUNDLE = ARTIFACTS / "rnn_scratch"


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    """Give a signed bundle and the public key."""
    private, public = write_key(tmp_path, "own")
    folder = shutil.copytree(BUNDLE, tmp_path / "bundle")
    assert signing.sign(folder, private) == tmp_path / "bundle.sig"
    return folder, public


def test_the_owner_of_the_key_is_known_and_the_bundle_as_it_was(signed: tuple[Path, Path]) -> None:
    folder, public = signed
    signing.check(folder, public)
    for path in BUNDLE.rglob("*.*"):
        assert (folder / path.relative_to(BUNDLE)).read_bytes() == path.read_bytes()


def test_nothing_is_fetched(signed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("opened a socket")

    monkeypatch.setattr("socket.socket.connect", refuse)
    signing.check(*signed)


def change(folder: Path) -> None:
    path = folder / "model.c"
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change, r"Hash mismatch for \\?'model\.c"),
        (lambda folder: (folder / "more").touch(), "Extra files found in model 'bundle': more"),
        (lambda folder: (folder / ".gitignore").touch(), "'.gitignore'"),
        (lambda folder: (folder / "model.h").unlink(), "Missing files in model 'bundle': model.h"),
        (lambda folder: (folder.with_name("bundle.sig")).unlink(), "is not signed: there is no .*bundle.sig"),
        (lambda folder: (folder.with_name("bundle.sig")).write_text("{}"), "signed in .*bundle.sig: "),
        (lambda folder: (folder.with_name("bundle.sig")).write_bytes(b"[" * 2_000_000), "at most 1048576"),
        (
            lambda folder: (folder.with_name("own.pub.pem")).write_text("none"),
            "elliptic public key .*, got none",
        ),
    ],
)
def test_what_was_not_signed_is_refused(
    signed: tuple[Path, Path], damage: Callable[[Path], object], message: str
) -> None:
    damage(signed[0])
    with pytest.raises((SigningError, BundleError), match=message):
        signing.check(*signed)


def test_another_key_is_refused(signed: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = write_key(tmp_path, "other")
    with pytest.raises(
        SigningError, match=r"is not what the owner of .*other.pub.pem signed .* Do not use it"
    ):
        signing.check(signed[0], other)


def test_a_wrong_key_cannot_sign(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("none")
    with pytest.raises(
        SigningError,
        match=r"key.pem: expected an elliptic private key .*, got none. Make a key with: openssl",
    ):
        signing.sign(BUNDLE, tmp_path / "key.pem", tmp_path / "sig")
    assert not (tmp_path / "sig").exists()


def test_the_extra_is_named(signed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "model_signing"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(SigningError, match=r"Run: pip install 'rnn-export\[sign\]'"):
        signing.check(*signed)


def test_on_the_command_line(signed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, public = signed
    own = str(tmp_path / "own.pem")
    done = CliRunner().invoke(app, ["sign", str(folder), "--key", own, "--signature", str(tmp_path / "s")])
    assert (done.exit_code, "Written" in done.output) == (0, True)
    change(folder)
    done = CliRunner().invoke(app, ["verify", str(folder), "--key", str(public)])
    assert (done.exit_code, "is not what the owner of" in done.output) == (1, True)
    done = CliRunner().invoke(app, ["verify", str(folder), "--signature", str(tmp_path / "s")])
    assert done.exit_code == 2
