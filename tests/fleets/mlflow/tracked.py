"""The program of docs/mlflow.md, for a folder with a bundle."""

import mlflow
import numpy as np

import rnn_export.mlflow


def run() -> str:
    """Log the bundle, load it, and give where it is."""
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    with mlflow.start_run():
        info = rnn_export.mlflow.log_model("bundles/my_rnn", "my_rnn")
    model = mlflow.pyfunc.load_model(info.model_uri)
    results = model.predict({"inputs": np.zeros((100, 3, 16), np.float32)})
    assert results["outputs"].shape == (100, 3, 1)
    return str(info.model_uri)
