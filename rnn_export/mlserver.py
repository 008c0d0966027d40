"""A bundle in MLServer: a runtime for ``model-settings.json``, over REST and gRPC.

MLServer listens on all addresses unless ``settings.json`` has a ``host``, and runs models in a process of its
own unless ``parallel_workers`` is 0 there, as sequences need it.
"""

from typing import Any

from mlserver import MLModel
from mlserver.errors import InferenceError, MLServerError
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataTensor,
    Parameters,
    RequestInput,
    ResponseOutput,
)
from mlserver.utils import get_model_uri

from rnn_export.errors import InputError, mismatch
from rnn_export.fleets.inference_protocol import DATATYPES, Answer, Served, Tensor

OPTIONS = ("runtime", "threads", "max_sequences", "idle_seconds")


class BundleRuntime(MLModel):
    """A bundle as a model of MLServer: ``parameters.uri`` of its settings is the folder.

    ``parameters.extra`` may have ``runtime``, ``threads``, ``max_sequences`` and ``idle_seconds``, as
    :class:`Served` has them. A request is of whole sequences, or with the parameter ``sequence_id`` of a
    part of one, whose state the model keeps: it takes ``sequence_start`` and ``sequence_end``, and answers
    ``sequence_id`` and ``steps``. What is wrong with a request is a 400, ``INVALID_ARGUMENT`` in gRPC, and
    changes no sequence.
    """

    async def load(self) -> bool:
        """Load the bundle.

        Raises:
            MLServerError: the settings have batches or a cache, which would mix sequences up, or an unknown
                extra.
            BundleError: there is no bundle, or a file is not the one that was written.
            RuntimeUnavailableError: the runtime is not installed, or has no file here.
            InputError: a bound is not above zero.
        """
        mixing = {
            "max_batch_size": self.settings.max_batch_size > 1,
            "cache_enabled": self.settings.cache_enabled,
        }
        for name, mixes in mixing.items():
            if mixes:
                remedy = (
                    "It joins or repeats requests, but the first axis may be time, and sequences have states."
                )
                got = getattr(self.settings, name)
                raise MLServerError(mismatch(f"{self.name}: {name}", "none", got, remedy))
        parameters = self.settings.parameters
        extra = (parameters.extra if parameters else None) or {}
        if others := {*extra} - {*OPTIONS}:
            where, got = f"{self.name}: parameters.extra", ", ".join(sorted(others))
            raise MLServerError(mismatch(where, ", ".join(OPTIONS), got, "Leave it out."))
        self.served = Served(await get_model_uri(self.settings), **extra)
        self.inputs = [MetadataTensor(**tensor) for tensor in self.served.inputs]
        self.outputs = [MetadataTensor(**tensor) for tensor in self.served.outputs]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a request.

        Raises:
            InferenceError: it is wrong; MLServer answers 400, ``INVALID_ARGUMENT`` in gRPC.
        """
        try:
            answer = await self.served.infer(
                [_tensor(given) for given in payload.inputs],
                _parameters(payload),
                [output.name for output in payload.outputs or []],
                finite=True,  # MLServer writes null for NaN, and does not say which protocol asks
            )
        except InputError as error:
            raise InferenceError(str(error)) from error
        return self._response(answer)

    def _response(self, answer: Answer) -> InferenceResponse:
        outputs = [
            ResponseOutput(
                name=name,
                shape=[*array.shape],
                datatype=DATATYPES[str(array.dtype)],
                data=array.ravel().tolist(),
            )
            for name, array in answer.outputs.items()
        ]
        told = {"parameters": Parameters(**answer.parameters)} if answer.parameters else {}
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs, **told)


def _tensor(given: RequestInput) -> Tensor:
    datatype = getattr(given.datatype, "value", given.datatype)
    return Tensor(given.name, datatype, given.shape, getattr(given.data, "root", given.data))


def _parameters(payload: InferenceRequest) -> dict[str, Any]:
    return payload.parameters.model_dump() if payload.parameters else {}
