"""What can run the files of a bundle; one file a runtime, one line in the table.

A runtime's file has ``start(path, signature, read)``, which loads a bundle's file and returns a
:data:`Call`. ``read`` gives what a path holds; a bundle's own, ``bundle.files.read``, only if it is what was
hashed. No file is opened past it. If the runtime is ``threaded``, a number of threads follows. It may have
``prepare(path)``, which does ahead what can be kept, and ``variants``, which gives several calls where the
file computes in several ways.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BundleError, InputError, RnnExportError, RuntimeUnavailableError, mismatch
from rnn_export.failures import explain
from rnn_export.notebook import table
from rnn_export.runtimes.arrays import as_array
from rnn_export.runtimes.one_step import looped
from rnn_export.runtimes.session import Session
from rnn_export.signature.signature import CALL_HEADING, Call, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import LENGTHS, Array

UNBOUNDED = sys.maxsize  # time steps
KINDS = 256  # of calls that are known to be right, by the shapes and dtypes of their arrays


class Kind(NamedTuple):
    """The shape and the dtype of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Runtime:
    """Something that runs files with one ending.

    ``package`` is what has to be installed for it. Where it cannot run, its files are left unchecked: no
    failure if it is ``optional``. A slow one is asked for runs of at most ``longest`` time steps, and of
    at most ``longest_looped`` if its file is one time step that is called again and again. It is
    ``shared`` if workers are to be forked from a process that has imported it, and has no thread of it, or
    from that of a shared runtime ``beside`` which it stands, with the same package. It
    ``answers_empty`` calls, those without a time step or a row, if its files have to. It ``compiles`` its
    files with the system's C compiler. One that is ``threaded`` is told how many threads may share a call.
    An export starts ``ahead`` as many workers: as many files are as a rule there.
    """

    name: str
    suffix: str
    package: str
    optional: bool = False
    longest: int = UNBOUNDED
    longest_looped: int = 0
    shared: bool = False
    beside: str = ""
    answers_empty: bool = False
    compiles: bool = False
    threaded: bool = False
    ahead: int = 1

    @property
    def installed(self) -> bool:
        """Whether its package can be found."""
        return find_spec(self.package) is not None

    def start(self, path: Path, signature: Signature, read: Read = Path.read_bytes, threads: int = 1) -> Call:
        """Load a file, from the bytes that ``read`` gives.

        Raises:
            RuntimeUnavailableError: its package is not installed.
            BundleError: it cannot be loaded.
            InputError: there is no such number of threads here.
        """
        self._check_threads(threads)
        if not self.installed:
            raise RuntimeUnavailableError(
                f"runtime {self.name!r} needs the package {self.package!r}. Run: pip install {self.package}"
            )
        call: Call = self.load().start(path, signature, read, *([threads] if self.threaded else []))
        return call

    def _check_threads(self, threads: int) -> None:
        if not isinstance(threads, int) or threads < 1:
            remedy = "Pass the number of cores that a call may use."
            raise InputError(mismatch("threads", "a whole number from 1 on", repr(threads), remedy))
        if threads > 1 and not self.threaded:
            others = " or ".join(repr(name) for name, each in RUNTIMES.items() if each.threaded)
            remedy = f"Load it with runtime {others}."
            raise InputError(mismatch(f"threads for runtime {self.name!r}", "1", threads, remedy))

    def variants(self, path: Path, signature: Signature, read: Read) -> list[Call]:
        """Load a file in each way in which it computes: one of C chooses by the processor that it runs on.

        Raises:
            As :meth:`start`.
        """
        variants = getattr(self.load(), "variants", None)
        calls: list[Call] = (
            variants(path, signature, read) if variants else [self.start(path, signature, read)]
        )
        return calls

    def calls(self, folder: Path, file: str, signature: Signature, read: Read) -> list[Call]:
        """Load a file of a bundle, to be compared with sequences: one time step is called again and again.

        Raises:
            As :meth:`start`.
        """
        if file == STEP_ONNX:
            return [looped(self.start(folder / file, signature.one_step, read), signature)]
        return self.variants(folder / file, signature, read)

    def reach(self, file: str) -> int:
        """Give the number of time steps of the longest runs that a file is compared over."""
        return self.longest_looped if file == STEP_ONNX else self.longest

    def prepare(self, path: Path) -> None:
        """Do what can be done with a file before it is asked for: build what is kept in a cache."""
        if prepare := getattr(self.load(), "prepare", None):
            prepare(path)

    def load(self) -> ModuleType:
        """Import it."""
        return import_module(f"rnn_export.runtimes.{self.name}")


# What makes a runner again, and its arguments.
Origin = tuple[Callable[..., "Runner"], tuple[str, str, int, str]]

RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime(
            "onnxruntime",
            ".onnx",
            "onnxruntime",
            answers_empty=True,
            threaded=True,
            ahead=4,
            longest_looped=300,
        ),
        Runtime("reference", ".onnx", "onnx", shared=True, longest=300, longest_looped=8),
        Runtime("torchscript", ".pt", "torch", shared=True),
        Runtime("torch_export", ".pt2", "torch", beside="torchscript", ahead=0),
        Runtime("c", ".c", "ctypes", optional=True, compiles=True, threaded=True),
    )
}


class Runner:
    """A loaded model: ``outputs, state = runner(inputs, state)``, in numpy arrays.

    Of several inputs, or several outputs, it takes or gives a dict of arrays by name.
    ``state`` is a tuple in the manifest's order; ``None`` stands for the initial state. Feed the returned
    state back to go on where the last call ended. A model exported with ``lengths`` takes the number of time
    steps of each row; ``None`` means that all rows have all of them.

    One runner may be called from any number of threads at once, in every runtime: a call keeps nothing, and
    gives what it gives alone. Nothing has to be cloned or locked; the arrays of a call are the caller's.
    """

    def __init__(self, call: Call, signature: Signature, name: str, origin: Origin) -> None:
        self.signature = signature
        self._call, self._name, self._origin = call, name, origin
        self._alone = len(signature.inputs) == 1
        self._ids = any(spec.vocabulary is not None for spec in signature.inputs)
        self._by_values = signature.lengths or any(spec.counts_steps for spec in signature.inputs)
        plain = len(signature.outputs) == 1 and not signature.outputs[0].flattened
        self._outputs = None if plain else signature.outputs
        self._prepared, self._initial = lru_cache(KINDS)(self._prepare), lru_cache(KINDS)(self._initial_of)

    def __repr__(self) -> str:
        outputs = "outputs" if len(self.signature.outputs) == 1 else "{name: array, ...}"
        given = "inputs" if len(self.signature.inputs) == 1 else "{name: array, ...}"
        state = ", state" * self.signature.streamable
        call = f"{outputs}, state = runner({given}{state})"
        return f"Runner of {self._name}\n  call: {self.signature.call}\n  use: {call}"

    def _repr_html_(self) -> str:
        name, _, use = repr(self).splitlines()
        return table(f"{name};{use}", CALL_HEADING, self.signature.described)

    def __reduce__(self) -> Origin:
        """Pickle the folder and the digest of its bundle, which is loaded again, if it is still that one."""
        return self._origin

    def __call__(
        self,
        inputs: Any,
        state: Sequence[Any] | None = None,
        lengths: Any = None,
    ) -> tuple[Any, tuple[Array, ...]]:
        """Run over all time steps of ``inputs``, whose axes ``signature.inputs`` name.

        Several inputs are given by name, in a dict, and several outputs come so. Tensors of torch, lists, and
        what has ``__array__`` or DLPack are taken as arrays are; what comes back is numpy's.

        Raises:
            InputError: something holds no numbers, or has another dtype, rank or size than the signature
                says, a token id is not in the vocabulary, a state is given to a model that runs on whole
                sequences only, or lengths to one that was exported without.
            BundleError: the file fails.
        """
        given = [inputs] if self._alone and type(inputs) is np.ndarray else self._given(inputs)
        leaves = self._begun(given) if state is None else self._leaves_of(state)
        arguments = (*given, *leaves)
        if lengths is not None or self._by_values:
            run, arguments = self._call, self._checked(given, leaves, lengths)
        else:
            run = self._prepared(*[(array.shape, array.dtype) for array in arguments])
        if self._ids:
            self.signature.check_ids(given, arguments[-1] if self.signature.lengths else None)
        try:
            results = run(*arguments)
        except RnnExportError:
            raise
        except Exception as error:  # each runtime has exceptions of its own
            shapes = ", ".join(str(list(array.shape)) for array in given)
            raise BundleError(
                f"{explain(self._name, error)}, on inputs {shapes}. Check the bundle with "
                "rnn_export.verify()."
            ) from error
        if self._outputs is None:  # an array alone, as it comes
            return results[0], tuple(results[1:])
        outputs = [spec.from_module(value) for spec, value in zip(self._outputs, results, strict=False)]
        new_state = tuple(results[len(outputs) :])
        if len(outputs) == 1:
            return outputs[0], new_state
        return dict(zip(self.signature.output_names, outputs, strict=False)), new_state

    def _checked(self, given: Sequence[Array], leaves: Sequence[Array], lengths: Any) -> tuple[Array, ...]:
        """Check a call of which values count, not shapes alone; give its arguments."""
        signature = self.signature
        if lengths is not None:
            lengths = as_array(lengths, LENGTHS)
        if lengths is not None and not signature.lengths:
            raise InputError(
                "argument 'lengths': this model was exported without. Export it with lengths=True, "
                "or leave them out."
            )
        sizes = signature.check_call(given, leaves, lengths)
        if signature.lengths and lengths is None:
            lengths = np.full(sizes[BATCH], sizes[TIME], np.int64)
        return (*given, *leaves, *([] if lengths is None else [lengths]))

    def _prepare(self, *kinds: Kind) -> Call:
        """Check the shapes and dtypes of a call; give what runs calls of these."""
        count = len(self.signature.inputs)
        arrays = [Kind(*kind) for kind in kinds]
        self.signature.check_call(arrays[:count], arrays[count:])
        prepared: Callable[..., Call] | None = getattr(self._call, "prepared", None)
        return prepared(*kinds) if prepared else self._call

    def _begun(self, given: Sequence[Array]) -> list[Array]:
        """Give the initial state for some inputs."""
        return [np.array(leaf) for leaf in self._initial(*[(array.shape, array.dtype) for array in given])]

    def _initial_of(self, *kinds: Kind) -> tuple[Array, ...]:
        sizes: dict[str, int] = {}
        for spec, kind in zip(self.signature.inputs, kinds, strict=True):
            spec.bind(Kind(*kind), sizes, "argument")
        return self.signature.initial_state(sizes[BATCH])

    def _given(self, inputs: Any) -> list[Array]:
        """Give the inputs in the signature's order.

        Raises:
            InputError: there are others, or several that have no names.
        """
        specs = self.signature.inputs
        names = [spec.name for spec in specs]
        if not isinstance(inputs, Mapping):
            if len(names) == 1:
                return [as_array(inputs, specs[0])]
            got, remedy = type(inputs).__name__, "Pass a dict of arrays."
        elif {*inputs} == {*names}:
            return [as_array(inputs[spec.name], spec) for spec in specs]
        else:
            got, remedy = ", ".join(map(repr, inputs)) or "none", "Pass an array for each of these names."
        raise InputError(mismatch("argument 'inputs'", ", ".join(map(repr, names)), got, remedy))

    def _leaves_of(self, state: Sequence[Any]) -> Sequence[Array]:
        """Give the state as arrays; what is no tuple or list is refused.

        Raises:
            InputError: it is not, or one is none; or the model takes no state.
        """
        if not isinstance(state, tuple | list):
            expected = "a tuple of arrays"
            remedy = "Pass the state that the last call gave; of one tensor: (state,)."
            raise InputError(mismatch("argument 'state'", expected, type(state).__name__, remedy))
        signature = self.signature
        if not signature.streamable:
            raise InputError(
                "argument 'state': this model takes whole sequences only: "
                f"{signature.not_streamable_because}. Leave the state out, and pass the whole sequence."
            )
        if len(state) != len(signature.state):
            signature.check_call((), state)  # which names the number
        return [
            leaf if type(leaf) is np.ndarray else as_array(leaf, spec)
            for leaf, spec in zip(state, signature.state, strict=True)
        ]

    def session(self, batch: int = 1, contexts: Mapping[str, Any] | None = None) -> Session:
        """Begin a stream of ``batch`` rows at the initial state, which is kept from step to step.

        ``contexts`` are the inputs that are the same for all time steps. A session is for one thread;
        for single time steps it takes a third of what the runner does in ``"c"``.

        Raises:
            InputError: the model takes whole sequences only, or has other contexts.
        """
        return Session(self._call, self.signature, self._name, batch, contexts or {})

    def initial_state(self, batch: int) -> tuple[Array, ...]:
        """Give the initial state for a batch."""
        return self.signature.initial_state(batch)
