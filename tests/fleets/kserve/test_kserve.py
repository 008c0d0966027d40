"""KServe answers for bundles as every server of bundles has to, over REST and gRPC."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.support.paths import ROOT
from tests.support.served import LOOPBACK, addresses_of, check_of, free_port, models_in, started

IDLE = 1.0
Start = Callable[..., AbstractContextManager[Any]]


def protocol(kind: str) -> Any:
    one = check_of("protocols").Protocol
    if kind == "grpc":
        invalid = "StatusCode.INVALID_ARGUMENT"
        return one("grpc", (True,), invalid, invalid, invalid, axes=False, same_bits=True, singles=8)
    return one("http", (True, False), "400", "400", "400", axes=False, same_bits=True, singles=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def bundles(folder: Path) -> list[Any]:
    return models_in(folder)


@contextmanager
def serving(folder: Path, kind: str, *options: str) -> Iterator[Any]:
    """Start KServe on loopback; give a connection."""
    ports = {"http": free_port(), "grpc": free_port()}
    models = [str(path) for path in sorted(folder.iterdir())]
    command = [sys.executable, "-m", "rnn_export.kserve", *models, *options]
    command += ["--port", str(ports["http"]), "--grpc-port", str(ports["grpc"])]
    with started(command, [*ports.values()], folder) as process:
        assert addresses_of(process) == {LOOPBACK}
        with check_of("protocols").Connection(protocol(kind), f"127.0.0.1:{ports[kind]}") as server:
            yield server


@pytest.fixture(scope="module", params=["http", "grpc"])
def server(request: pytest.FixtureRequest, folder: Path, bundles: list[Any]) -> Iterator[Any]:
    with serving(folder, request.param) as server:
        yield server


def test_the_golden_vectors_come_whole_and_streamed(
    server: Any, bundles: list[Any], figure: Callable[[str], None]
) -> None:
    for bundle in bundles:
        figure(
            f"KServe, {server.protocol}, {bundle.name}: {check_of('vectors').check_golden(server, bundle)}"
        )


def test_it_does_what_every_server_has_to_do(server: Any, bundles: list[Any]) -> None:
    check_of("conformance").check(server, bundles)


def test_the_first_protocol_is_refused_with_the_path_of_the_second(server: Any) -> None:
    """KServe's version 1 has no names of tensors; connections here are those of REST."""
    if server.protocol.kind != "http":
        return
    url = f"http://{server.address}/v1/models/rnn_scratch:predict"
    asked = Request(
        url, json.dumps({"instances": [[0.0] * 16]}).encode(), {"Content-Type": "application/json"}
    )
    with pytest.raises(HTTPError) as refused:
        urlopen(asked)
    assert refused.value.code == 400
    assert "/v2/models/rnn_scratch/infer" in json.load(refused.value)["error"]
    refused.value.close()


def test_two_models_of_one_name_are_refused() -> None:
    folder = str(ROOT / "artifacts" / "rnn_scratch")
    command = [sys.executable, "-m", "rnn_export.kserve", folder, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "models: expected a name of its own for each, got rnn_scratch, rnn_scratch" in done.stderr


ADDRESSES = """
import inspect
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.rest.server import RESTServer
print(RESTServer("", None, None, 0).config.host, "[::]" in inspect.getsource(GRPCServer))
"""


def test_kserves_own_server_still_listens_on_all_addresses() -> None:
    """If it can be told another, docs/serving.md should say how."""
    done = subprocess.run([sys.executable, "-c", ADDRESSES], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.0.0.0", "True"]


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_sequences_are_bounded_and_forgotten(kind: str, folder: Path, bundles: list[Any]) -> None:
    with serving(folder, kind, "--max-sequences", "2", "--idle-seconds", str(IDLE)) as server:
        check_of("conformance").check_bounds(server, bundles[0], 2, IDLE)


def test_sequences_of_before_a_restart_are_unknown(folder: Path, bundles: list[Any]) -> None:
    check_of("conformance").check_restart(partial(serving, folder, "http"), bundles[0])
