"""What can run the files of a bundle; one file a runtime, one line in the table.

A runtime's file has ``start(path, signature)``, which loads a bundle's file and returns a :data:`Call`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from rnn_export.errors import RuntimeUnavailableError
from rnn_export.signature import Array, Signature

# One call: inputs and the state's leaves in; outputs and the new state's leaves out, in one list.
Call = Callable[[Array, Sequence[Array]], list[Array]]


@dataclass(frozen=True)
class Runtime:
    """Something that runs files with one ending; ``package`` is what has to be installed for it."""

    name: str
    suffix: str
    package: str

    @property
    def installed(self) -> bool:
        """Whether its package can be found."""
        return find_spec(self.package) is not None

    def start(self, path: Path, signature: Signature) -> Call:
        """Load a file.

        Raises:
            RuntimeUnavailableError: its package is not installed.
        """
        if not self.installed:
            raise RuntimeUnavailableError(
                f"runtime {self.name!r} needs the package {self.package!r}. Run: pip install {self.package}"
            )
        module = import_module(f"{__name__}.{self.name}")
        call: Call = module.start(path, signature)
        return call


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("onnxruntime", ".onnx", "onnxruntime"),
        Runtime("reference", ".onnx", "onnx"),
        Runtime("torchscript", ".pt", "torch"),
    )
}


class Runner:
    """A loaded model: ``outputs, state = runner(inputs, state)``, in numpy arrays.

    ``state`` is a tuple in the manifest's order; ``None`` stands for the initial state. Feed the returned
    state back to go on where the last call ended.
    """

    def __init__(self, call: Call, signature: Signature) -> None:
        self.signature = signature
        self._call = call

    def __call__(
        self, inputs: Array, state: Sequence[Array] | None = None
    ) -> tuple[Array, tuple[Array, ...]]:
        """Run over all time steps of ``inputs`` (``[T, B, features]``, or ``[T, B]`` for tokens).

        Raises:
            InputError: an array has another dtype, rank or size than the signature says.
        """
        if state is None:
            sizes: dict[str, int] = {}
            self.signature.inputs.bind(inputs, sizes, "argument")
            state = self.signature.initial_state(sizes["batch"])
        self.signature.check_call(inputs, state)
        outputs, *new_state = self._call(inputs, state)
        return outputs, tuple(new_state)

    def initial_state(self, batch: int) -> tuple[Array, ...]:
        """Give the initial state for a batch."""
        return self.signature.initial_state(batch)
