"""Export recurrent PyTorch modules as they are written, and prove every file equal to eager."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rnn_export.bundle.bundle import Bundle
from rnn_export.garbage import uncollected
from rnn_export.runtimes.load import load
from rnn_export.verification.verify import VerificationReport, verify
from rnn_export.version import __version__

if TYPE_CHECKING:
    from rnn_export.exporter import export
    from rnn_export.optimizer import optimize
    from rnn_export.scaffolding.scaffold import scaffold

__all__ = ["Bundle", "VerificationReport", "__version__", "export", "load", "optimize", "scaffold", "verify"]

# These need torch, what the passes need, or templates; loading and verifying a bundle must not, so that a
# service can do without.
_LATER = {"export": "exporter", "optimize": "optimizer", "scaffold": "scaffolding.scaffold"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with uncollected():
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
