"""Packages that a fleet needs, and that rnn-export does not bring."""

from importlib.util import find_spec

from rnn_export.errors import RuntimeUnavailableError, mismatch


def need(package: str, extra: str) -> None:
    """Check that a package is installed.

    Raises:
        RuntimeUnavailableError: it is not.
    """
    if find_spec(package) is None:
        remedy = f"Run: pip install 'rnn-export[{extra}]'"
        raise RuntimeUnavailableError(mismatch("scoring", f"the package {package!r}", "none", remedy))
