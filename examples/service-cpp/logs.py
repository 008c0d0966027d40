"""What a service writes to stderr: lines of JSON at the start and the stop, with --log for each request."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from client import SECONDS, Bundle, CheckError, Request, Service, expect, infer
from limits import read_answer, with_client
from witness import Client

Line = dict[str, Any]
QUOTED = 'a "name"\n'  # an id that a line of JSON has to quote


def requests(bundle: Bundle) -> list[tuple[Request, int, str | None]]:
    """List requests of every kind, their status, and the session that they are about."""
    call = partial(infer, bundle, bundle.draw(np.random.default_rng(9), 2, 1), bundle.outputs)
    return [
        (Request("GET", "/v2?token=1"), 200, None),
        (Request("HEAD", "/v2/health/live"), 200, None),
        (Request("GET", "/v2/models/none"), 404, None),
        (Request("PUT", "/v2", body=b"{}"), 405, None),
        (Request("POST", f"{bundle.path}/infer", body=b"{"), 400, None),
        (call(binary=True), 200, None),
        (call(binary=False), 200, None),
        (call(binary=True, sequence_id="unknown"), 404, "unknown"),
        (call(binary=True, sequence_id=QUOTED, sequence_start=True, sequence_end=True), 200, QUOTED),
        (call(binary=False, sequence_id=7, sequence_start=True), 200, "7"),
        (Request("GET", f"{bundle.path}/sessions/7"), 200, "7"),
        (Request("DELETE", f"{bundle.path}/versions/1/sessions/7"), 204, "7"),
    ]


async def send_all(bundle: Bundle, expected: list[Line], client: Client) -> None:
    """Send requests one after another; add to ``expected`` what their lines should tell."""
    for request, wanted, sequence_id in requests(bundle):
        status, body, _ = await client.send(request)
        expect(f"{request.method} {request.path}: status ({body[:200]!r})", wanted, status)
        expected.append(line(request, status, len(body), sequence_id))
    made = await client.begin(bundle)
    answer = await client.ask(200, "GET", f"{bundle.path}/sessions/{made}")
    begun = {"sequence_id": made, "model": bundle.name, "steps": 0}
    expect("a session", begun, {key: answer[key] for key in begun})


def line(request: Request, status: int, size: int, sequence_id: str | None) -> Line:
    """Give what a line should tell of a request."""
    told = {
        "level": "info",
        "event": "request",
        "method": request.method,
        "path": request.path.split("?")[0],
        "status": status,
        "bytes_in": len(request.body),
        "bytes_out": size,
    }
    return told | ({} if sequence_id is None else {"sequence_id": sequence_id})


def checked(entry: Line, *more: str) -> Line:
    """Check the time of a line, and what is measured; give the rest.

    Raises:
        CheckError: one is missing, or is not what it should be.
    """
    rest = dict(entry)
    try:
        age = datetime.now().astimezone() - datetime.fromisoformat(rest.pop("time"))
        measured = [rest.pop(name) for name in more]
    except (KeyError, ValueError, TypeError) as error:
        raise CheckError(f"log: expected time and {more}, got {entry}: {error!r}") from error
    if not 0 <= age.total_seconds() < SECONDS or any(not 0 <= one < 1000 * SECONDS for one in measured):
        raise CheckError(f"log: expected a time of now, and milliseconds, got {entry}")
    return rest


def check_ends(service: Service, entries: Sequence[Line], bundles: Sequence[Bundle], count: int) -> None:
    """Check the lines of the start and of the stop.

    Raises:
        CheckError: they tell something else.
    """
    start = checked(entries[0])
    expect("log: the first line", ("info", "start", service.url), tuple(start.get(key) for key in ENDS))
    expect(
        "log: the models' names",
        [bundle.name for bundle in bundles],
        [one["name"] for one in start["models"]],
    )
    for told, bundle in zip(start["models"], bundles, strict=True):
        hashes = [file["sha256"] for file in bundle.model.manifest["files"].values()]
        if told["version"] != "1" or told["sha256"] not in hashes:
            raise CheckError(f"log: expected version 1 and the sha256 of a file of {bundle.name}, got {told}")
    stop = {"level": "info", "event": "stop", "reason": "SIGTERM", "requests": count}
    expect("log: the last line", stop, checked(entries[-1]))


ENDS = ("level", "event", "address")


async def send_garbage(url: str) -> None:
    """Send what is no HTTP, and read the answer."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    writer.write(b"hello\r\n\r\n")
    status, _, _ = await read_answer(reader)
    expect("what is no HTTP: status", 400, status)
    writer.close()


def check_log(command: Sequence[str], models: Path, bundles: Sequence[Bundle]) -> None:
    """Compare what a service logs with what it was asked; without --log, start and stop alone.

    Raises:
        CheckError: it tells something else.
    """
    expected: list[Line] = []
    with Service(command, models, "--log") as service:
        asyncio.run(with_client(service.url, partial(send_all, bundles[0], expected)))
        asyncio.run(send_garbage(service.url))
    entries = service.entries()
    check_ends(service, entries, bundles, len(expected) + 3)
    *told, begun, shown, garbage = (checked(entry, "milliseconds") for entry in entries[1:-1])
    for wanted, got in zip(expected, told, strict=True):
        expect("log: the line of a request", wanted, got)
    expect("log: the id of a new session", shown["sequence_id"], begun.get("sequence_id"))
    expect("log: the status of what is no HTTP", 400, garbage["status"])

    with Service(command, models) as service:
        asyncio.run(with_client(service.url, lambda client: client.ask(200, "GET", "/v2")))
    expect("log: lines without --log", 2, len(service.entries()))
    check_ends(service, service.entries(), bundles, 1)
