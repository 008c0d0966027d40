"""A bundle in MLflow: logged, loaded, and served on this machine alone; what it takes is checked."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

import rnn_export
from rnn_export.errors import InputError, RuntimeUnavailableError
from rnn_export.mlflow import PyfuncModel, log_model
from tests.fleets.mlflow import tracked
from tests.support.paths import ARTIFACTS
from tests.support.scoring import BUNDLE

pytestmark = pytest.mark.filterwarnings("default")  # MLflow itself uses what it warns of
HOST, SECONDS = "127.0.0.1", 120


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder with a bundle, in which MLflow keeps what it is given; nothing is told to anybody."""
    made = tmp_path_factory.mktemp("mlflow")
    (made / "bundles").mkdir()
    (made / "bundles" / "my_rnn").symlink_to(BUNDLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.chdir(made)
        mlflow.set_tracking_uri("sqlite:///mlflow.db")
        yield made


@pytest.fixture(scope="module")
def uri(folder: Path) -> str:
    return tracked.run()


def inputs(steps: int, batch: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((steps, batch, 16)).astype(np.float32)


def test_a_model_is_logged_with_its_signature_and_an_example(uri: str) -> None:
    info = mlflow.models.get_model_info(uri)
    [given] = info.signature.inputs.to_dict()
    assert given["tensor-spec"] == {"dtype": "float32", "shape": (-1, -1, 16)}
    assert info.signature.outputs.input_names() == ["outputs"]
    model = mlflow.pyfunc.load_model(uri)
    assert "outputs" in model.predict(model.input_example)
    given_inputs = inputs(7, 3)
    expected, _ = rnn_export.load(BUNDLE)(given_inputs)
    np.testing.assert_array_equal(model.predict({"inputs": given_inputs})["outputs"], expected)
    with pytest.raises(MlflowException, match="inputs"):
        model.predict({"inputs": given_inputs[..., :15]})


def test_a_state_goes_on_from_call_to_call() -> None:
    with mlflow.start_run():
        info = log_model(BUNDLE, "stateful", runtime="c", state=True)
    model = mlflow.pyfunc.load_model(info.model_uri)
    runner, given = rnn_export.load(BUNDLE, "c"), inputs(7, 3)
    expected, (last,) = runner(given)
    state, found = runner.initial_state(3)[0], []
    for step in range(7):
        results = model.predict({"inputs": given[step : step + 1], "state_0": state})
        state = results["state_0_out"]
        found.append(results["outputs"])
    assert np.concatenate(found).tobytes() == expected.tobytes()
    assert state.tobytes() == last.tobytes()


@pytest.fixture(scope="module")
def served(uri: str, folder: Path) -> Iterator[str]:
    """Serve the model on a free port of this machine; give its address."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    bin_folder = Path(sys.executable).parent
    line = [bin_folder / "mlflow", "models", "serve", "-m", uri, "-h", HOST, "-p", str(port)]
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [*line, "--env-manager", "local"], stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        end = time.monotonic() + SECONDS
        while not answers(f"http://{HOST}:{port}/ping"):
            assert server.poll() is None, (folder / "serve.log").read_text()
            assert time.monotonic() < end, (folder / "serve.log").read_text()
            time.sleep(0.2)
        yield f"http://{HOST}:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def post(url: str, content: object) -> dict[str, object]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


def test_it_is_served(served: str) -> None:
    given = inputs(5, 2)
    answer = post(f"{served}/invocations", {"inputs": {"inputs": given.tolist()}})
    expected, _ = rnn_export.load(BUNDLE)(given)
    found = np.array(answer["predictions"]["outputs"], np.float32)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(HTTPError) as error:
        post(f"{served}/invocations", {"inputs": {"inputs": given[..., :15].tolist()}})
    assert error.value.code == 400


def test_mistakes_are_named() -> None:
    with pytest.raises(RuntimeUnavailableError, match="expected 'onnxruntime' or "):
        log_model(BUNDLE, "model", runtime="c++")
    model = PyfuncModel(rnn_export.load(ARTIFACTS / "rnn_scratch"), state=True)
    with pytest.raises(
        InputError, match=r"model_input: expected 'inputs', 'state_0', got 'inputs'\. Pass an"
    ):
        model.predict({"inputs": inputs(2, 1)})
    with pytest.raises(InputError, match=r"model_input: .* got no dict"):
        model.predict(inputs(2, 1))
