"""How a server is asked: over HTTP with JSON or binary tensors, or over gRPC."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from client import CheckError
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from recurrent import Array

Named = Sequence[tuple[str, Array]]  # tensors and their names, right or wrong ones


@dataclass(frozen=True)
class Protocol:
    """A protocol, and what is known of a server that speaks it.

    Attributes:
        kind: ``http`` or ``grpc``, as tritonclient calls its modules.
        forms: whether tensors are binary, in each way in which the server takes them.
        wrong: the status of a request that is wrong.
        unknown: of one for a sequence that there is not.
        full: of one for a sequence too many.
        axes: the metadata says which axis is time, and more that the protocol leaves open.
        same_bits: the server computes as recurrent.py does, so that results are the same bits.
        singles: how many time steps of a streamed sequence are sent one by one; the rest comes at once.
    """

    kind: str = "http"
    forms: tuple[bool, ...] = (True, False)
    wrong: str = "400"
    unknown: str = "404"
    full: str = "429"
    axes: bool = True
    same_bits: bool = False
    singles: int | None = None

    def __str__(self) -> str:
        return {"http": "HTTP", "grpc": "gRPC"}[self.kind]


@dataclass(frozen=True)
class Answer:
    """What came: the outputs in the order in which they were asked for, and the parameters."""

    outputs: list[Array]
    parameters: dict[str, Any]


class RefusedError(Exception):
    """A server has refused a request, with a status and a message."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Connection:
    """A connection to a server, for one thread."""

    def __init__(self, protocol: Protocol, address: str) -> None:
        self.protocol, self.address = protocol, address
        self._module = importlib.import_module(f"tritonclient.{protocol.kind}")
        self.client: Any = self._module.InferenceServerClient(address)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def again(self) -> "Connection":
        """Open another one, for another thread."""
        return Connection(self.protocol, self.address)

    def metadata(self, name: str) -> dict[str, Any]:
        """Ask what a model takes and gives."""
        as_json = {"as_json": True} if self.protocol.kind == "grpc" else {}
        told: dict[str, Any] = self.client.get_model_metadata(name, **as_json)
        for tensor in (*told["inputs"], *told["outputs"]):
            tensor["shape"] = [int(size) for size in tensor["shape"]]  # texts in the JSON of gRPC
        return told

    def request(
        self, model: str, inputs: Named, names: Sequence[str], *, binary: bool = True, **sequence: Any
    ) -> Callable[[], Any]:
        """Make a request, which is sent when it is called, and again each time.

        ``sequence`` is what tritonclient calls it: sequence_id, sequence_start, ...
        """
        http = self.protocol.kind == "http"
        form = {"binary_data": binary} if http else {}
        sent = []
        for name, array in inputs:
            tensor = self._module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            sent.append(tensor.set_data_from_numpy(np.ascontiguousarray(array), **form))
        outputs = [self._module.InferRequestedOutput(name, **form) for name in names]
        headers = {"Content-Type": "application/json"} if http and not binary else None
        return partial(self.client.infer, model, sent, outputs=outputs or None, headers=headers, **sequence)

    def infer(self, model: str, inputs: Named, names: Sequence[str], **how: Any) -> Answer:
        """Send a request, as :meth:`request` makes it.

        Raises:
            RefusedError: the server refuses it.
            CheckError: it gives other outputs than were asked for.
        """
        try:
            answer = self.request(model, inputs, names, **how)()
        except InferenceServerException as error:
            raise RefusedError(str(error.status()), str(error.message())) from error
        got, parameters = (told if self.protocol.kind == "http" else told_in_grpc)(answer)
        if names and got != [*names]:
            raise CheckError(f"{model}: expected the outputs {', '.join(names)}, got {', '.join(got)}")
        return Answer([answer.as_numpy(name) for name in got], parameters)


def told(answer: Any) -> tuple[list[str], dict[str, Any]]:
    """Give the names of an answer's outputs, and its parameters."""
    response = answer.get_response()
    return [output["name"] for output in response["outputs"]], dict(response.get("parameters") or {})


def told_in_grpc(answer: Any) -> tuple[list[str], dict[str, Any]]:
    """Give the names of the outputs of an answer of gRPC, and its parameters, which are of one kind each."""
    response = answer.get_response()
    kinds: Mapping[str, Any] = response.parameters
    parameters = {key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in kinds.items()}
    return [output.name for output in response.outputs], parameters
