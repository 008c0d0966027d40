"""Sign a bundle, and check who signed it: what the hashes of a manifest cannot say.

The signature is OpenSSF Model Signing's, over every file of the folder, in a file beside it; an elliptic key
is all that is needed, and nothing is fetched. ``model_signing verify key`` of that project reads it as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from rnn_export.bundle.untrusted.files import listing, read
from rnn_export.errors import BundleError, SigningError, mismatch

SIGNATURE_BYTES = 1 << 20  # a few hundred for each file
KEY_BYTES = 1 << 16
OPENSSL = "Make a key with: openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem"


def signature_of(folder: Path) -> Path:
    """Name the file beside a bundle that holds its signature."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.sig")


def sign(folder: str | Path, private_key: str | Path, signature: str | Path | None = None) -> Path:
    """Sign all files of a bundle, which stays as it is.

    Args:
        folder: a bundle.
        private_key: an elliptic key (P-256, P-384 or P-521) in a PEM file without a password.
        signature: where the signature goes; ``DIR.sig`` beside the folder unless given.

    Returns:
        The file of the signature.

    Raises:
        BundleError: the folder holds what no bundle does.
        SigningError: ``model-signing`` is not installed, there is no such key, or the file cannot be written.
    """
    folder, target = Path(folder), Path(signature) if signature else signature_of(Path(folder))
    library = _library("signing")
    listing(folder)
    _check_key(Path(private_key), "private", OPENSSL)
    with _told(f"{folder} cannot be signed with {private_key}", OPENSSL):
        config = library.Config().use_elliptic_key_signer(private_key=Path(private_key))
        config.set_hashing_config(_every_file()).sign(folder, target)
    return target


def check(folder: str | Path, public_key: str | Path, signature: str | Path | None = None) -> None:
    """Check that a bundle is, file by file, what the owner of a key has signed.

    Args:
        folder: a bundle.
        public_key: in a PEM file.
        signature: the file of the signature; ``DIR.sig`` beside the folder unless given.

    Raises:
        BundleError: the folder holds what no bundle does.
        SigningError: ``model-signing`` is not installed, the key or the signature cannot be read, another
            key signed it, or a file is missing, extra or changed.
    """
    folder, signed = Path(folder), Path(signature) if signature else signature_of(Path(folder))
    library = _library("verifying")
    listing(folder)
    _check_key(Path(public_key), "public", "Ask who signed the bundle for the key.")
    if not signed.exists():
        remedy = "Name the file with --signature, or get it from who made the bundle."
        raise SigningError(f"{folder} is not signed: there is no {signed}. {remedy}")
    with _told(f"{folder} is not what the owner of {public_key} signed in {signed}", "Do not use it."):
        read(signed, SIGNATURE_BYTES)
        config = library.Config().use_elliptic_key_verifier(public_key=Path(public_key))
        config.set_hashing_config(_every_file()).verify(folder, signed)


def _check_key(path: Path, wanted: str, remedy: str) -> None:
    """Check that a file holds a key of an elliptic curve, the private or the public one.

    Raises:
        SigningError: it does not, or cannot be read.
    """
    pem = import_module("cryptography.hazmat.primitives.serialization")
    curves = import_module("cryptography.hazmat.primitives.asymmetric.ec")
    try:
        content = read(path, KEY_BYTES)
    except (BundleError, OSError) as error:
        raise SigningError(f"{path} cannot be read: {error}. {remedy}") from error
    found = dict[str, Any]()
    for kind, load in (
        ("private", partial(pem.load_pem_private_key, password=None)),
        ("public", pem.load_pem_public_key),
    ):
        with suppress(ValueError, TypeError):  # it is none of that kind, or has a password
            found[kind] = load(content)
    elliptic = curves.EllipticCurvePrivateKey | curves.EllipticCurvePublicKey
    expected = f"an elliptic {wanted} key without a password (P-256, P-384 or P-521)"
    if not found:
        raise SigningError(mismatch(str(path), expected, "none", remedy))
    kind, key = next(iter(found.items()))
    if not isinstance(key, elliptic):
        name = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
        raise SigningError(mismatch(str(path), expected, name, remedy))
    if kind != wanted:
        half = f"Make the public half with: openssl ec -in {path} -pubout" if kind == "private" else remedy
        raise SigningError(mismatch(str(path), expected, f"a {kind} one", half))


def _every_file() -> Any:
    """Leave nothing out, as the library would do with what belongs to git."""
    return _library("hashing").Config().set_ignored_paths(paths=[], ignore_git_paths=False)


def _library(part: str) -> Any:
    try:
        return import_module(f"model_signing.{part}")
    except ImportError as error:
        raise SigningError(
            f"signatures need the package model-signing ({error}). Run: pip install 'rnn-export[sign]'"
        ) from error


@contextmanager
def _told(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the library has no exceptions of its own, and those of four others
        reason = str(error) or type(error).__name__
        raise SigningError(f"{what}: {reason}. {remedy}") from error
