"""What can run the files of a bundle; one file a runtime, one line in the table.

A runtime's file has ``start(path, signature, read)``, which loads a bundle's file and returns a
:data:`Call`. ``read`` gives what a path holds; a bundle's own, ``bundle.files.read``, only if it is what was
hashed. No file is opened past it. It may have ``prepare(path)``, which does ahead what can be kept.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np

from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import InputError, RuntimeUnavailableError
from rnn_export.signature.signature import Array, Call, Signature

UNBOUNDED = sys.maxsize  # time steps


@dataclass(frozen=True)
class Runtime:
    """Something that runs files with one ending.

    ``package`` is what has to be installed for it. Where it cannot run, its files are left unchecked: no
    failure if it is ``optional``. A slow one is asked for runs of at most ``longest`` time steps. It is
    ``shared`` if workers are to be forked from a process that has imported it, and has no thread of it. It
    ``answers_empty`` calls, those without a time step or a row, if its files have to.
    """

    name: str
    suffix: str
    package: str
    optional: bool = False
    longest: int = UNBOUNDED
    shared: bool = False
    answers_empty: bool = False

    @property
    def installed(self) -> bool:
        """Whether its package can be found."""
        return find_spec(self.package) is not None

    def start(self, path: Path, signature: Signature, read: Read = Path.read_bytes) -> Call:
        """Load a file, from the bytes that ``read`` gives.

        Raises:
            RuntimeUnavailableError: its package is not installed.
            BundleError: it cannot be loaded.
        """
        if not self.installed:
            raise RuntimeUnavailableError(
                f"runtime {self.name!r} needs the package {self.package!r}. Run: pip install {self.package}"
            )
        call: Call = self.load().start(path, signature, read)
        return call

    def prepare(self, path: Path) -> None:
        """Do what can be done with a file before it is asked for: build what is kept in a cache."""
        if prepare := getattr(self.load(), "prepare", None):
            prepare(path)

    def load(self) -> ModuleType:
        """Import it."""
        return import_module(f"rnn_export.runtimes.{self.name}")


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("onnxruntime", ".onnx", "onnxruntime", answers_empty=True),
        Runtime("reference", ".onnx", "onnx", longest=300),
        Runtime("torchscript", ".pt", "torch", shared=True),
        Runtime("c", ".c", "ctypes", optional=True),  # and a C compiler
    )
}


class Runner:
    """A loaded model: ``outputs, state = runner(inputs, state)``, in numpy arrays.

    ``state`` is a tuple in the manifest's order; ``None`` stands for the initial state. Feed the returned
    state back to go on where the last call ended. A model exported with ``lengths`` takes the number of time
    steps of each row; ``None`` means that all rows have all of them.

    One runner may be called from any number of threads at once, in every runtime: a call keeps nothing, and
    gives what it gives alone. Nothing has to be cloned or locked; the arrays of a call are the caller's.
    """

    def __init__(self, call: Call, signature: Signature) -> None:
        self.signature = signature
        self._call = call

    def __call__(
        self, inputs: Array, state: Sequence[Array] | None = None, lengths: Array | None = None
    ) -> tuple[Array, tuple[Array, ...]]:
        """Run over all time steps of ``inputs``, whose axes ``signature.inputs.shape`` names.

        Raises:
            InputError: an array has another dtype, rank or size than the signature says, a state is given
                to a model that runs on whole sequences only, or lengths to one that was exported without.
        """
        if state is not None and not self.signature.streamable:
            raise InputError(
                "argument 'state': this model takes whole sequences only: "
                f"{self.signature.not_streamable_because}. Leave the state out, and pass the whole sequence."
            )
        if state is None:
            sizes: dict[str, int] = {}
            self.signature.inputs.bind(inputs, sizes, "argument")
            state = self.signature.initial_state(sizes["batch"])
        if lengths is not None and not self.signature.lengths:
            raise InputError(
                "argument 'lengths': this model was exported without. Export it with lengths=True, "
                "or leave them out."
            )
        sizes = self.signature.check_call(inputs, state, lengths)
        if self.signature.lengths and lengths is None:
            lengths = np.full(sizes["batch"], sizes["time"], np.int64)
        outputs, *new_state = self._call(inputs, *state, *([] if lengths is None else [lengths]))
        return outputs, tuple(new_state)

    def initial_state(self, batch: int) -> tuple[Array, ...]:
        """Give the initial state for a batch."""
        return self.signature.initial_state(batch)
