"""What no result shows: in which form answers come, and what becomes of sessions when all else changes."""

import asyncio
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from client import (
    SECONDS,
    Bundle,
    CheckError,
    Request,
    Service,
    compare,
    error_of,
    expect,
    infer,
    parsed,
    read,
)
from faults import tensor
from limits import read_answer, with_client
from load import STOPPING
from witness import Client, Witness

PAUSE = 0.3  # seconds
ROUNDING = 0.01  # seconds: a service may tell them rounded
# Parameters of a request, those of its output, if it names one, and if the data has to come as bytes.
FORMS: list[tuple[dict[str, bool], dict[str, bool] | None, bool]] = [
    ({}, None, False),
    ({"binary_data_output": True}, None, True),
    ({"binary_data_output": True}, {"binary_data": False}, False),
    ({}, {"binary_data": True}, True),
]


async def check_forms(client: Client, bundle: Bundle) -> None:
    """Feed a session nested lists, at both paths of a model: it answers outputs alone, in the form asked for.

    Raises:
        CheckError: it is another form, or the answer is not right.
    """
    witness = Witness(client, bundle, await client.begin(bundle))
    for path in (bundle.path, f"{bundle.path}/versions/1"):
        for asked, of_output, binary in FORMS:
            inputs = bundle.draw(witness.random, 2, 1)
            request: dict[str, Any] = {
                "parameters": {"sequence_id": witness.sequence_id, **asked},
                "inputs": [
                    tensor(spec, array, data=array.tolist())
                    for spec, array in zip(bundle.inputs, inputs, strict=True)
                ],
            }
            if of_output is not None:
                request["outputs"] = [{"name": name, "parameters": of_output} for name in bundle.outputs]
            where = f"{path}: nested data, {asked}, output {of_output}"
            body = json.dumps(request).encode()
            answer = await client.send(Request("POST", f"{path}/infer", body=body))
            witness.fed += 2
            witness.state = witness.check(where, answer, inputs)
            for output in parsed(answer[1], answer[2]).get_response()["outputs"]:
                expect(f"{where}: data in the JSON of the answer", not binary, "data" in output)


async def check_stateless(client: Client, bundle: Bundle) -> None:
    """Send inputs alone, of several rows: all outputs come, those of the initial state.

    Raises:
        CheckError: they do not.
    """
    inputs = bundle.draw(np.random.default_rng(7), 3, 2)
    body = json.dumps({"inputs": list(map(tensor, bundle.inputs, inputs))}).encode()
    status, body, headers = await client.send(Request("POST", f"{bundle.path}/infer", body=body))
    where = f"{bundle.name}: inputs without a state"
    expect(f"{where}: status ({body[:200]!r})", 200, status)
    outputs, state = bundle.run(inputs)
    answer = read(bundle, parsed(body, headers), bundle.names)
    for name, got, expected in zip(bundle.names, answer, [*outputs, *state], strict=True):
        if problem := compare(where, name, got, expected, bundle.allowed[name]).problem:
            raise CheckError(problem)


async def check_apart(client: Client, bundle: Bundle, others: Sequence[Bundle]) -> None:
    """Ask other models for a session: they do not have it, and may have one under the same id.

    Raises:
        CheckError: one has it, or the session is no longer right.
    """
    witness = Witness(client, bundle, await client.begin(bundle))
    for other in others:
        place = f"{other.path}/sessions/{witness.sequence_id}"
        for method in ("GET", "DELETE"):
            await client.ask(404, method, place, f"{method} {place}, a session of {bundle.name}")
        begin = partial(infer, other, other.draw(witness.random, 1, 1), other.outputs, binary=True)
        for more, expected in (({}, 404), ({"sequence_start": True, "sequence_end": True}, 200)):
            status, body, _ = await client.send(begin(sequence_id=witness.sequence_id, **more))
            expect(f"{other.name}: an id of {bundle.name}, {more}: status ({body[:200]!r})", expected, status)
        await witness.step(f"after {other.name} was asked for it")


async def check_ages(client: Client, bundle: Bundle) -> None:
    """Compare a session's age, and how long nobody fed it, with the clock.

    Raises:
        CheckError: they are too small, or a step changes the wrong one.
    """
    witness = Witness(client, bundle, await client.begin(bundle))
    place = f"{bundle.path}/sessions/{witness.sequence_id}"
    await asyncio.sleep(PAUSE)
    before = await client.ask(200, "GET", place)
    await witness.step("between questions for its age")
    after = await client.ask(200, "GET", place)
    ages = [before["age_seconds"], before["idle_seconds"], after["age_seconds"]]
    if min(ages) < PAUSE - ROUNDING or after["idle_seconds"] > after["age_seconds"] - PAUSE + ROUNDING:
        expected = f"ages of {PAUSE} seconds or more, and a step after that which ends idleness"
        raise CheckError(f"{bundle.name}: expected {expected}, got {before}, then {after}")


def changed(models: Path, bundle: Bundle, folder: Path, change: dict[str, Any]) -> Path:
    """Copy bundles, and change what the manifest of one says."""
    shutil.copytree(models, folder)
    manifest = json.dumps(bundle.model.manifest | change)
    (folder / bundle.name / "manifest.json").write_text(manifest, encoding="utf-8")
    return folder


def check_manifests(command: Sequence[str], models: Path, bundle: Bundle) -> None:
    """Start with manifests of another format, and of another call.

    Raises:
        CheckError: a service does not end, or does not say why.
    """
    signature = bundle.model.manifest["signature"]
    changes: list[tuple[dict[str, Any], str]] = [
        ({"format_version": 1}, "expected manifest format 2, got 1"),
        (
            {"signature": signature | {"lengths": True}},
            "expected a streamable model without lengths, got another",
        ),
    ]
    for change, words in changes:
        with tempfile.TemporaryDirectory() as folder:
            other = changed(models, bundle, Path(folder) / "models", change)
            line = [*command, "--port", "0", "--models", str(other)]
            done = subprocess.run(  # noqa: S603
                line, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        if not done.returncode or words not in done.stderr:
            got = f"status {done.returncode} and {done.stderr!r}"
            raise CheckError(f"{bundle.name}: expected an exit with {words!r}, got {got}")


def check_changed(command: Sequence[str], models: Path, bundles: Sequence[Bundle]) -> None:
    """Restart with another model in the place of one: its sessions are not restored, the others' are.

    Raises:
        CheckError: a session is there that should not, or the other way round.
    """
    ids: dict[str, str] = {}

    async def begin(client: Client) -> None:
        for bundle in bundles:
            witness = Witness(client, bundle, await client.begin(bundle))
            await witness.step("before the restart")
            ids[bundle.name] = witness.sequence_id

    async def ask(client: Client) -> None:
        for at, bundle in enumerate(bundles):
            what = f"{bundle.name}: a saved session, {'the same' if at else 'another'} model"
            await client.ask(200 if at else 404, "GET", f"{bundle.path}/sessions/{ids[bundle.name]}", what)

    with tempfile.TemporaryDirectory() as folder:
        save = ["--save", f"{folder}/sessions"]
        with Service(command, models, *save) as service:
            asyncio.run(with_client(service.url, begin))
        files = bundles[0].model.manifest["files"]
        hashed = {"files": {name: {**file, "sha256": "0" * 64} for name, file in files.items()}}
        other = changed(models, bundles[0], Path(folder) / "models", hashed)
        with Service(command, other, *save) as service:
            asyncio.run(with_client(service.url, ask))
        if "warning" not in service.told():
            expected = f"a warning that a session of {bundles[0].name} is not restored"
            raise CheckError(f"another model: expected {expected}, got {service.told()!r}")


async def check_stop(service: Service, bundle: Bundle) -> None:
    """Stop a service that has read half of a request: it takes no other, and answers this one, or refuses it.

    Raises:
        CheckError: it is ready all the same, or the answer is not right.
    """
    host, port = service.url.removeprefix("http://").split(":")
    inputs = bundle.draw(np.random.default_rng(8), 50, 1)
    request = infer(bundle, inputs, bundle.outputs, binary=False)
    head = f"POST {request.path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(request.body)}\r\n\r\n"
    half = len(request.body) // 2
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + request.body[:half])
    await asyncio.sleep(PAUSE)
    service.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(PAUSE)
    if (told := await ready(host, port)) not in (None, STOPPING):
        raise CheckError(f"GET /v2/health/ready while it stops: expected {STOPPING} or nothing, got {told}")
    writer.write(request.body[half:])
    status, body, headers = await read_answer(reader)
    where = f"{bundle.name}: a request in flight at the stop"
    if status == STOPPING:
        error_of(body)
    else:
        expect(f"{where}: status ({body[:200]!r})", 200, status)
        answer = read(bundle, parsed(body, headers), bundle.outputs)
        for name, got, output in zip(bundle.outputs, answer, bundle.run(inputs)[0], strict=True):
            if problem := compare(where, name, got, output, bundle.allowed[name]).problem:
                raise CheckError(problem)
    writer.close()
    expect("exit status after SIGTERM", 0, await asyncio.to_thread(service.process.wait, SECONDS))


async def ready(host: str, port: str) -> int | None:
    """Ask a service if it is ready; ``None``: it takes no connection, or closes it."""
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /v2/health/ready HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        status, _, _ = await read_answer(reader)
        writer.close()
    except (OSError, EOFError):
        return None
    return status


def check_details(command: Sequence[str], models: Path, bundles: Sequence[Bundle]) -> None:
    """Check everything of this file.

    Raises:
        CheckError: something is not as it should be.
    """

    async def ask(client: Client) -> None:
        for bundle in bundles:
            await check_forms(client, bundle)
            await check_stateless(client, bundle)
            await check_apart(client, bundle, [other for other in bundles if other is not bundle])
            await check_ages(client, bundle)

    with Service(command, models) as service:
        asyncio.run(with_client(service.url, ask))
    check_changed(command, models, bundles)
    check_manifests(command, models, bundles[0])
    service = Service(command, models)
    try:
        asyncio.run(check_stop(service, bundles[0]))
    finally:
        service.process.kill()
