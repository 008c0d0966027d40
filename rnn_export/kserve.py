"""A bundle in KServe: a model of its Python server, over REST and gRPC.

``kserve.ModelServer().start([BundleModel("bundles/my_rnn")])`` listens on all addresses, and has no option
for another. :func:`serve` runs the same endpoints on loopback, or where it is told::

    python -m rnn_export.kserve bundles/my_rnn --port 8080 --grpc-port 8081
"""

import argparse
import asyncio
import signal
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import kserve
import kserve.model_server
import numpy as np
import uvicorn
from kserve.errors import InvalidInput
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.infer_type import (
    InferInput,
    InferOutput,
    InferRequest,
    InferResponse,
    to_http_parameters,
)
from kserve.protocol.rest.server import RESTServer

from rnn_export.errors import InputError, mismatch
from rnn_export.fleets.inference_protocol import DATATYPES, Answer, Served, Tensor
from rnn_export.signature.tensors import Array

LOOPBACK = "127.0.0.1"
GRACE = 30  # seconds for what is in flight at the stop


class BundleModel(kserve.Model):
    """A bundle as a model of KServe.

    A request is of whole sequences, or with the parameter ``sequence_id`` of a part of one, whose state the
    model keeps: it takes ``sequence_start`` and ``sequence_end``, and answers ``sequence_id`` and ``steps``.
    What is wrong with a request is a 400, ``INVALID_ARGUMENT`` in gRPC, and changes no sequence.

    Args:
        folder: a bundle.
        name: of the model in the server; that of the bundle as a rule.
        options: ``runtime``, ``threads``, ``max_sequences`` and ``idle_seconds``, as for :class:`Served`.

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written.
        RuntimeUnavailableError: the runtime is not installed, or has no file here.
        InputError: a bound is not above zero.
    """

    def __init__(self, folder: str, name: str = "", **options: Any) -> None:
        self.served = Served(folder, **options)
        super().__init__(name or self.served.name)
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """Describe what goes in; KServe's messages have no parameters of a tensor."""
        return [_plain(tensor) for tensor in self.served.inputs]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Describe what comes out."""
        return [_plain(tensor) for tensor in self.served.outputs]

    async def predict(
        self, payload: InferRequest, headers: Mapping[str, str] | None = None, response_headers: object = None
    ) -> InferResponse:
        """Answer a request.

        Raises:
            InvalidInput: it is wrong; KServe answers 400, ``INVALID_ARGUMENT`` in gRPC.
        """
        if not isinstance(payload, InferRequest):
            raise InvalidInput(
                f"expected a request of the protocol v2, got another: /v2/models/{self.name}/infer"
            )
        try:
            answer = await self.served.infer(
                [_tensor(given) for given in payload.inputs],
                to_http_parameters(payload.parameters or {}),
                [output.name for output in payload.request_outputs or []],
                finite=_as_json(payload),
            )
        except InputError as error:
            raise InvalidInput(str(error)) from error
        return self._response(payload, answer)

    def _response(self, payload: InferRequest, answer: Answer) -> InferResponse:
        outputs = [_output(name, array, binary=payload.from_grpc) for name, array in answer.outputs.items()]
        return InferResponse(
            payload.id or str(uuid.uuid4()),  # KServe cannot answer without
            self.name,
            outputs,
            parameters=answer.parameters,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


def _plain(tensor: dict[str, Any]) -> dict[str, Any]:
    return {key: tensor[key] for key in ("name", "datatype", "shape")}


def _tensor(given: InferInput) -> Tensor:
    data = given.data if given._raw_data is None else given._raw_data
    return Tensor(given.name, given.datatype, given.shape, data)


def _output(name: str, array: Array, *, binary: bool) -> InferOutput:
    """Give an output: as bytes for gRPC, where KServe fails on arrays; else it makes what was asked for."""
    output = InferOutput(name, [*array.shape], DATATYPES[str(array.dtype)], array)
    if binary:
        output.set_data_from_numpy(np.ascontiguousarray(array))
    return output


def _as_json(payload: InferRequest) -> bool:
    """Tell whether a number of the answer becomes JSON, in which KServe writes ``null`` for NaN."""
    if payload.from_grpc:
        return False
    if payload.request_outputs:
        return not all(output.binary_data for output in payload.request_outputs)
    return not payload.use_binary_outputs


def serve(
    models: Sequence[BundleModel], host: str = LOOPBACK, port: int = 8080, grpc_port: int | None = 8081
) -> None:
    """Run KServe's endpoints for some models until SIGTERM or SIGINT; what is in flight is answered.

    Args:
        models: what is served.
        host: the address to listen on.
        port: of REST.
        grpc_port: of gRPC; ``None``: there is none.

    Raises:
        InputError: two models have one name.
    """
    names = [model.name for model in models]
    if len({*names}) < len(names):
        remedy = "Pass a name beside the folder: BundleModel(folder, name)."
        raise InputError(mismatch("models", "a name of its own for each", ", ".join(names), remedy))
    server = kserve.ModelServer(enable_grpc=False)
    for model in models:
        server.register_model(model)
    rest = RESTServer("", server.dataplane, server.model_repository_extension, port)
    rest.create_application()
    app = kserve.model_server.app
    config = uvicorn.Config(app, host, port, log_config=None, timeout_graceful_shutdown=GRACE)
    asyncio.run(_serve(uvicorn.Server(config), server, f"{host}:{grpc_port}" if grpc_port else None))


async def _serve(rest: uvicorn.Server, server: kserve.ModelServer, grpc_address: str | None) -> None:
    others = []
    if grpc_address:
        others.append(grpc.aio.server(interceptors=[ExceptionToStatusInterceptor()]))
        servicer = InferenceServicer(server.dataplane, server.model_repository_extension)
        add_GRPCInferenceServiceServicer_to_server(servicer, others[0])
        others[0].add_insecure_port(grpc_address)
        await others[0].start()
    signal.signal(signal.SIGTERM, lambda *_: None)  # which uvicorn sends on when it has stopped
    try:
        await rest.serve()
    finally:
        for other in others:
            await other.stop(GRACE)


def main() -> None:
    """Serve bundles: ``python -m rnn_export.kserve FOLDER...``."""
    parser = argparse.ArgumentParser("python -m rnn_export.kserve", description="Serve bundles by KServe.")
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="of a bundle")
    parser.add_argument("--host", default=LOOPBACK, help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="of REST (%(default)s)")
    parser.add_argument("--grpc-port", type=int, default=8081, help="of gRPC (%(default)s)")
    parser.add_argument("--runtime", default="onnxruntime", help="onnxruntime or c (%(default)s)")
    parser.add_argument("--max-sequences", type=int, default=1000, help="at a time (%(default)s)")
    parser.add_argument(
        "--idle-seconds", type=float, default=600, help="until one is forgotten (%(default)s)"
    )
    given = vars(parser.parse_args())
    folders, host, port, grpc_port = (given.pop(name) for name in ("folders", "host", "port", "grpc_port"))
    serve([BundleModel(folder, **given) for folder in folders], host, port, grpc_port)


if __name__ == "__main__":
    main()
