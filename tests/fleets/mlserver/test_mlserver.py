"""MLServer answers for bundles as every server of bundles has to, over REST and gRPC."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.served import LOOPBACK, addresses_of, check_of, free_port, models_in, started

IDLE = 1.0
SECONDS = 60  # for the models to be loaded
IMPLEMENTATION = "rnn_export.mlserver.BundleRuntime"


def protocol(kind: str) -> Any:
    one = check_of("protocols").Protocol
    if kind == "grpc":
        invalid = "StatusCode.INVALID_ARGUMENT"
        return one("grpc", (True,), invalid, invalid, invalid, axes=False, same_bits=True, singles=8)
    return one("http", (False,), "400", "400", "400", axes=True, same_bits=True, singles=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def bundles(folder: Path) -> list[Any]:
    return models_in(folder)


@contextmanager
def serving(folder: Path, kind: str, **extra: Any) -> Iterator[Any]:
    """Start MLServer on loopback with a folder of settings; give a connection."""
    ports = {"http": free_port(), "grpc": free_port()}
    repository = folder.parent / f"repository-{ports['http']}"
    repository.mkdir()
    own = {"host": "127.0.0.1", "http_port": ports["http"], "grpc_port": ports["grpc"]}
    own |= {"metrics_endpoint": None, "parallel_workers": 0, "debug": False}
    (repository / "settings.json").write_text(json.dumps(own))
    for bundle in sorted(folder.iterdir()):
        (repository / bundle.name).mkdir()
        parameters = {"uri": str(bundle), "extra": extra}
        model = {"name": bundle.name, "implementation": IMPLEMENTATION, "parameters": parameters}
        (repository / bundle.name / "model-settings.json").write_text(json.dumps(model))
    command = [str(Path(sys.executable).with_name("mlserver")), "start", str(repository)]
    with started(command, [*ports.values()], repository) as process:
        assert addresses_of(process) == {LOOPBACK}
        with check_of("protocols").Connection(protocol(kind), f"127.0.0.1:{ports[kind]}") as server:
            ready(server, [bundle.name for bundle in sorted(folder.iterdir())])
            yield server


def ready(server: Any, names: list[str]) -> None:
    """Wait for the models: MLServer listens before it has loaded them."""
    end = time.monotonic() + SECONDS
    while not all(map(server.client.is_model_ready, names)):
        assert time.monotonic() < end, names
        time.sleep(0.1)


@pytest.fixture(scope="module", params=["http", "grpc"])
def server(request: pytest.FixtureRequest, folder: Path, bundles: list[Any]) -> Iterator[Any]:
    with serving(folder, request.param) as server:
        yield server


def test_the_golden_vectors_come_whole_and_streamed(
    server: Any, bundles: list[Any], figure: Callable[[str], None]
) -> None:
    for bundle in bundles:
        figure(
            f"MLServer, {server.protocol}, {bundle.name}: {check_of('vectors').check_golden(server, bundle)}"
        )


def test_it_does_what_every_server_has_to_do(server: Any, bundles: list[Any]) -> None:
    check_of("conformance").check(server, bundles)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_sequences_are_bounded_and_forgotten(kind: str, folder: Path, bundles: list[Any]) -> None:
    with serving(folder, kind, max_sequences=2, idle_seconds=IDLE) as server:
        check_of("conformance").check_bounds(server, bundles[0], 2, IDLE)


def test_sequences_of_before_a_restart_are_unknown(folder: Path, bundles: list[Any]) -> None:
    check_of("conformance").check_restart(partial(serving, folder, "http"), bundles[0])


LOAD = """
import asyncio, json, sys
from mlserver import ModelSettings
settings = ModelSettings.model_validate(json.loads(sys.argv[1]))
model = settings.implementation(settings)
try:
    asyncio.run(model.load())
except Exception as error:
    print(f"{type(error).__name__}: {error}")
else:
    print("loaded", *(tensor.name for tensor in [*model.inputs, *model.outputs]))
"""


def loaded(uri: Path, **settings: Any) -> str:
    """Load a model in another process: what MLServer and the check's client know of gRPC collides in one."""
    parameters = {"uri": str(uri), "extra": settings.pop("extra", {})}
    model = {"name": "net", "implementation": IMPLEMENTATION, "parameters": parameters, **settings}
    command = [sys.executable, "-c", LOAD, json.dumps(model)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


NET = ROOT / "artifacts" / "rnn_scratch"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "loaded inputs state_0 outputs state_0_out"),
        ({"extra": {"runtime": "c", "threads": 2}}, "loaded inputs"),
        ({"max_batch_size": 8}, "MLServerError: net: max_batch_size: expected none, got 8"),
        ({"cache_enabled": True}, "MLServerError: net: cache_enabled: expected none, got True"),
        ({"extra": {"max_sequences": 0}}, "InputError: max_sequences: expected a number above 0, got 0"),
        ({"extra": {"most": 3}}, "MLServerError: net: parameters.extra: expected runtime, threads"),
    ],
)
def test_settings_that_would_mix_sequences_up_are_refused(settings: dict[str, Any], said: str) -> None:
    assert said in loaded(NET, **settings)


def test_where_no_bundle_is_loading_fails(tmp_path: Path) -> None:
    assert "BundleError: " in loaded(tmp_path)
