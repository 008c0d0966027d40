"""A bundle as a model of MLflow: logged with its signature, loaded as a pyfunc, served over HTTP.

MLflow keeps a copy of the bundle's folder, and this module loads it again: nothing is pickled.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import Schema
from mlflow.types import TensorSpec as Column

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.golden import RUN
from rnn_export.errors import InputError, mismatch
from rnn_export.runtimes.load import load
from rnn_export.runtimes.table import Runner
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import LENGTHS, Array, TensorSpec
from rnn_export.version import __version__

FREE = -1  # a size that is free, as MLflow writes it
RUNTIME, STATE = "runtime", "state"  # what MLflow keeps beside the bundle


class PyfuncModel:
    """What MLflow calls: tensors by name in, tensors by name out.

    Args:
        runner: the model.
        state: whether the state goes in and comes out as well.
    """

    def __init__(self, runner: Runner, *, state: bool) -> None:
        self._runner, self._state = runner, state

    def predict(
        self, model_input: Mapping[str, Any], params: Mapping[str, Any] | None = None
    ) -> dict[str, Array]:
        """Run a call.

        Args:
            model_input: the inputs by their names; the state and the lengths as well, where they belong to
                the signature that was logged.
            params: none.

        Raises:
            InputError: something is not what the signature says.
        """
        signature = self._runner.signature
        takes = [spec.name for spec in _taken(signature, state=self._state)]
        if not isinstance(model_input, Mapping) or {*model_input} != {*takes}:
            got = ", ".join(map(repr, model_input)) if isinstance(model_input, Mapping) else "no dict"
            expected, remedy = ", ".join(map(repr, takes)), "Pass an array for each of these names."
            raise InputError(mismatch("model_input", expected, got, remedy))
        state = tuple(model_input[leaf.name] for leaf in signature.state) if self._state else None
        outputs, new_state = self._runner(
            {spec.name: model_input[spec.name] for spec in signature.inputs},
            state,
            model_input.get(LENGTHS.name),
        )
        names = signature.output_names
        results = dict(outputs) if len(signature.outputs) > 1 else {names[0]: outputs}
        if self._state:
            results |= dict(zip(names[len(signature.outputs) :], new_state, strict=True))
        return results


def _load_pyfunc(path: str, model_config: Mapping[str, Any]) -> PyfuncModel:
    """Load what :func:`log_model` has logged: MLflow calls this."""
    return PyfuncModel(load(path, model_config[RUNTIME]), state=model_config[STATE])


def log_model(
    bundle: str | Path, name: str, *, runtime: str = "onnxruntime", state: bool = False, **options: Any
) -> ModelInfo:
    """Log a bundle to the active run of MLflow, with its signature and an example that was run.

    ``mlflow.pyfunc.load_model(info.model_uri).predict({"inputs": array})`` and ``mlflow models serve`` then
    take and give the tensors of the model by name. Time and batch are free.

    Args:
        bundle: its folder.
        name: of the model within the run.
        runtime: as :func:`rnn_export.load` takes it.
        state: whether a call takes the state as well, and gives the new one, to go on from call to call.
            Without, each call begins at the initial state.
        options: others of ``mlflow.pyfunc.log_model``, such as ``registered_model_name`` or
            ``pip_requirements``.

    Returns:
        What MLflow says of the model.

    Raises:
        BundleError: there is no bundle.
        RuntimeUnavailableError: it does not run in this runtime.
        InputError: it has no state that a call goes on from.
    """
    opened = Bundle.open(bundle)
    signature = opened.signature
    if state and not (signature.streamable and signature.returned_state):
        reason = signature.not_streamable_because or "it has none"
        raise InputError(f"state: no call of this model goes on from a state: {reason}. Leave it out.")
    load(bundle, runtime)  # what fails, fails before anything is logged
    takes = _taken(signature, state=state)
    results = list(zip(signature.output_names, signature.results, strict=True))
    gives = results if state else results[: len(signature.outputs)]
    case = min((case for case in opened.cases if case.kind == RUN), key=lambda case: case.time * case.batch)
    given = dict(zip(signature.input_names, case.arguments, strict=True))
    return mlflow.pyfunc.log_model(
        name=name,
        loader_module=__name__,
        data_path=str(opened.folder.resolve()),
        model_config={RUNTIME: runtime, STATE: state},
        signature=ModelSignature(
            Schema([_column(spec.name, spec) for spec in takes]),
            Schema([_column(each, spec) for each, spec in gives]),
        ),
        input_example={spec.name: given[spec.name] for spec in takes},
        **{"pip_requirements": [f"rnn-export=={__version__}"], **options},
    )


def _taken(signature: Signature, *, state: bool) -> list[TensorSpec]:
    """Give the tensors that a call takes."""
    return [spec for spec in signature.arguments if state or spec not in signature.state]


def _column(name: str, spec: TensorSpec) -> Column:
    return Column(
        np.dtype(spec.dtype), tuple(size if isinstance(size, int) else FREE for size in spec.shape), name
    )
