"""What all checks of a service need: its process, requests and answers of the protocol, and comparisons."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from golden import Golden, largest_error
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from recurrent import Array, State, alone, by_name, load

DATATYPES = {"float32": "FP32", "int64": "INT64", "bool": "BOOL"}
ALL: Array = np.ones(1, bool)
PLACES = 3  # of a size that is free, and neither time nor batch
HEADER_LENGTH = "Inference-Header-Content-Length"
READY = "listening on "
SECONDS = 60  # to start or to stop


class CheckError(Exception):
    """What a service did wrong: what was expected, and what came."""


def expect(what: str, expected: object, got: object) -> None:
    """Compare what has to be equal.

    Raises:
        CheckError: it is not.
    """
    if expected != got:
        raise CheckError(f"{what}: expected {expected}, got {got}")


class Bundle:
    """A model of the service: what recurrent.py makes of it, its golden vectors, what errors they allow."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.model = load(folder)
        self.golden = Golden(folder)
        self.inputs = self.model.inputs
        self.state = self.model.leaves
        leaves = [leaf | {"name": leaf["output_name"]} for leaf in self.state]
        self.results: list[dict[str, Any]] = [*self.model.outputs, *leaves]
        self.names = [spec["name"] for spec in self.results]
        self.outputs = self.names[: len(self.model.outputs)]
        tolerances = [case["tolerance"] for case in self.golden.cases]
        self.allowed = {name: max((each[name] for each in tolerances), default=0.0) for name in self.names}

    @property
    def path(self) -> str:
        """Where the service has the model."""
        return f"/v2/models/{self.name}"

    def draw(self, random: np.random.Generator, steps: int, batch: int) -> list[Array]:
        """Draw all inputs: token ids that there are, truth values, or numbers about zero."""
        return [drawn(spec, random, sized(spec, time=steps, batch=batch)) for spec in self.inputs]

    def named(self, inputs: Sequence[Array]) -> Any:
        """Give inputs as recurrent.py takes them."""
        return alone({spec["name"]: array for spec, array in zip(self.inputs, inputs, strict=True)})

    def run(self, inputs: Sequence[Array], state: State | None = None) -> tuple[list[Array], State]:
        """Run some time steps; give all outputs, and the state."""
        outputs, after = self.model.run(self.named(inputs), state)
        return list(by_name(self.model.outputs, outputs).values()), after

    def steps(self, inputs: Sequence[Array]) -> int:
        """Tell of how many time steps some inputs are."""
        pairs = zip(self.inputs, inputs, strict=True)
        counts = [
            array.shape[spec["shape"].index("time")] for spec, array in pairs if "time" in spec["shape"]
        ]
        return int(counts[0])

    def cut(self, inputs: Sequence[Array], **where: slice | int) -> list[Array]:
        """Take a part of all inputs along the axes that are named; what has no such axis stays as it is."""
        return [cut(spec, array, **where) for spec, array in zip(self.inputs, inputs, strict=True)]


def drawn(spec: dict[str, Any], random: np.random.Generator, shape: Sequence[int]) -> Array:
    """Draw a tensor of the manifest."""
    if spec["dtype"] == "float32":
        return random.standard_normal(shape, np.float32)
    if spec["dtype"] == "bool":
        return random.random(shape) < 0.5
    return random.integers(spec.get("vocabulary", 2), size=shape)


def sized(spec: dict[str, Any], **sizes: int) -> list[int]:
    """Give the shape of a tensor of the manifest for some time steps and rows."""
    return [sizes.get(axis, PLACES) if isinstance(axis, str) else axis for axis in spec["shape"]]


def cut(spec: dict[str, Any], values: Array, **where: slice | int) -> Array:
    """Take a part of a tensor of the manifest along the axes that are named, if it has them."""
    return values[tuple(where.get(axis, slice(None)) for axis in spec["shape"])]


def tensors(bundle: Bundle, values: Sequence[Array], *, binary: bool = True) -> list[Any]:
    """Give inputs, or inputs and all leaves of the state, as tritonclient takes them."""
    sent = []
    for spec, array in zip([*bundle.inputs, *bundle.state], values, strict=False):  # the state may be missing
        tensor = InferInput(spec["name"], list(array.shape), DATATYPES[spec["dtype"]])
        sent.append(tensor.set_data_from_numpy(np.ascontiguousarray(array), binary_data=binary))
    return sent


def wanted(names: Sequence[str], *, binary: bool = True) -> list[Any]:
    """Ask for outputs by name."""
    return [InferRequestedOutput(name, binary_data=binary) for name in names]


@dataclass(frozen=True)
class Request:
    """An HTTP request."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def infer(
    bundle: Bundle, values: Sequence[Array], names: Sequence[str], *, binary: bool, **how: Any
) -> Request:
    """Make an infer request; ``how`` is what tritonclient calls it: sequence_id, sequence_start, ..."""
    sent = tensors(bundle, values, binary=binary)
    body, length = InferenceServerClient.generate_request_body(sent, wanted(names, binary=binary), **how)
    headers = {} if length is None else {HEADER_LENGTH: str(length)}
    return Request("POST", f"{bundle.path}/infer", headers, body)


def read(bundle: Bundle, answer: Any, names: Sequence[str]) -> Iterator[Array]:
    """Read the outputs of an answer that tritonclient has taken apart.

    Raises:
        CheckError: it has other outputs.
    """
    got = [output["name"] for output in answer.get_response()["outputs"]]
    if got != list(names):
        raise CheckError(f"{bundle.name}: expected the outputs {', '.join(names)}, got {', '.join(got)}")
    yield from map(answer.as_numpy, names)


def open_connections(number: int) -> aiohttp.ClientSession:
    """Open a client with a bounded number of connections; answers come as they are, not compressed."""
    connector = aiohttp.TCPConnector(limit=number)
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    headers = {"Accept-Encoding": "identity"}
    return aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers)


def parsed(body: bytes, headers: Mapping[str, str]) -> Any:
    """Take an answer apart as tritonclient does it."""
    length = headers.get(HEADER_LENGTH)
    return InferenceServerClient.parse_response_body(body, header_length=length and int(length))


@dataclass(frozen=True)
class Comparison:
    """The largest error of a result, its part of what is allowed, and what is wrong, if anything."""

    error: float
    share: float
    problem: str


def compare(
    where: str, name: str, got: Array, expected: Array, allowed: float, decided: Array = ALL
) -> Comparison:
    """Compare a result with what it should be, where that is decided."""
    if got.shape != expected.shape:
        problem = f"{where}: {name}: expected the shape {expected.shape}, got {got.shape}"
        return Comparison(np.inf, np.inf, problem)
    error, at = largest_error(got, expected, decided)
    values = f"expected {expected.flat[at]:.9g}, got {got.flat[at]:.9g}"
    problem = f"{where}: {name}[{at}]: {values}, off by {error:.1e}, allowed {allowed:.1e}"
    return Comparison(
        error, error / allowed if allowed else 0.0, "" if error <= allowed else problem
    )  # not so: NaN


class Service:
    """A service's process, from its first line to its exit. Used with ``with`` it is stopped gracefully.

    What it writes to stderr is kept, and shown where something went wrong.
    """

    def __init__(self, command: Sequence[str], models: Path, *options: str) -> None:
        arguments = [*command, "--port", "0", "--models", str(models), *options]
        self.stderr = tempfile.NamedTemporaryFile("a+")  # noqa: SIM115
        self.process = subprocess.Popen(  # noqa: S603
            arguments, stdout=subprocess.PIPE, stderr=self.stderr, text=True
        )
        self.url = self._listening()

    def told(self) -> str:
        """Give what it has written to stderr."""
        return Path(self.stderr.name).read_text(encoding="utf-8")

    def entries(self) -> list[dict[str, Any]]:
        """Give the lines of its log."""
        return [json.loads(line) for line in self.told().splitlines() if line.startswith("{")]

    def _listening(self) -> str:
        """Wait for the line that names the address.

        Raises:
            CheckError: it does not come.
        """
        assert self.process.stdout
        watchdog = threading.Timer(SECONDS, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        if line.startswith(READY + "http://"):
            return line.removeprefix(READY).strip()
        self._kill()
        raise CheckError(f"{self.process.args}: expected '{READY}http://...', got {line!r}")  # type: ignore[str-bytes-safe]

    def _kill(self) -> None:
        self.process.kill()
        print(*(line for line in self.told().splitlines() if line[0:1] != "{"), sep="\n", file=sys.stderr)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind:
            self._kill()
        else:
            self.stop()

    def stop(self) -> None:
        """Ask it to stop, and wait.

        Raises:
            CheckError: it does not, or not with status 0.
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            raise CheckError(
                f"expected it to stop within {SECONDS} seconds of SIGTERM, got no exit"
            ) from None
        if status:
            self._kill()
            raise CheckError(f"expected exit status 0 after SIGTERM, got {status}")


def error_of(body: bytes) -> str:
    """Give the message of an answer that is an error.

    Raises:
        CheckError: there is none.
    """
    try:
        message = json.loads(body)["error"]
        assert isinstance(message, str)
    except (ValueError, LookupError, TypeError, AssertionError):
        raise CheckError(f'expected {{"error": "..."}}, got {body[:200]!r}') from None
    return message
