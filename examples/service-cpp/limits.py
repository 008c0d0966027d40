"""What a service has to bear: bad requests beside good ones, too many sessions, several requests at once."""

import asyncio
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from http.client import parse_headers
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from client import (
    SECONDS,
    Bundle,
    CheckError,
    Request,
    Service,
    error_of,
    expect,
    infer,
    open_connections,
    parsed,
    read,
)
from faults import MAX_BODY, Bad, bad_requests
from witness import Client, Witness

AT_ONCE = 8
REPEATED = 5  # rounds of several requests at once
IDLE = 2  # seconds, of which a busy machine may sleep most
FED = 14  # steps, one each IDLE / 8 seconds: longer than IDLE and a second in which the service may notice
NO_RANGES = ("bytes=5-1", "lines=1-2", "all")  # what a Range header should not hold
HUGE = 3e38  # float32 ends soon after
SLOW = 300  # connections: more than are served at a time
MOST_SECONDS = 6  # for a step beside them: a second or two, and what a busy machine adds


async def check_faults(client: Client, bundle: Bundle) -> None:
    """Send bad requests while a good session is fed.

    Raises:
        CheckError: one is not refused as it should be, or the good session is no longer right.
    """
    witness = Witness(client, bundle, await client.begin(bundle))
    for bad in bad_requests(bundle, witness.sequence_id):
        await asyncio.gather(refused(client, bad), witness.step(f"during: {bad.what}"))
        await witness.step(f"after: {bad.what}")


async def refused(client: Client, bad: Bad) -> None:
    """Send a bad request.

    Raises:
        CheckError: it is not refused as it should be.
    """
    where = f"{bad.request.method} {bad.request.path}: {bad.what}"
    try:
        status, body, _ = await client.send(bad.request)
    except (aiohttp.ClientError, OSError) as error:
        raise CheckError(f"{where}: expected {bad.status}, got {error!r}") from error
    if status != bad.status:
        raise CheckError(f"{where}: expected {bad.status}, got {status}: {body[:300]!r}")
    message = error_of(body)
    if bad.told not in message:
        raise CheckError(f"{where}: expected {bad.told!r} in the message, got {message!r}")


async def check_overflow(client: Client, bundle: Bundle) -> None:
    """Send finite numbers so large that results overflow, in most models: JSON cannot carry those.

    Raises:
        CheckError: JSON is not refused with 422 exactly if binary data holds NaN or infinity.
    """
    signs = np.random.default_rng(6)
    values = [
        np.where(signs.random(value.shape) < 0.5, HUGE, -HUGE).astype(value.dtype)
        if value.dtype == np.float32
        else value
        for value in (*bundle.draw(signs, 1, 1), *bundle.model.initial_state(1))
    ]
    status, body, headers = await client.send(infer(bundle, values, bundle.names, binary=True))
    expect(f"{bundle.name}: huge numbers, binary: status", 200, status)
    finite = all(np.isfinite(result).all() for result in read(bundle, parsed(body, headers), bundle.names))
    status, body, _ = await client.send(infer(bundle, values, bundle.names, binary=False))
    expect(f"{bundle.name}: huge numbers, JSON: status", 200 if finite else 422, status)
    if not finite:
        error_of(body)


async def check_range(client: Client, bundle: Bundle) -> None:
    """Ask for a part of an answer: the step is run once, and the answer is whole.

    What is no range of bytes may be refused instead; the step is then not run.

    Raises:
        CheckError: it is not.
    """
    witness = Witness(client, bundle, await client.begin(bundle))
    for asked in ("bytes=0-1", "bytes=1000000-", *NO_RANGES):
        piece = bundle.draw(witness.random, 2, 1)
        request = infer(bundle, piece, bundle.outputs, binary=True, sequence_id=witness.sequence_id)
        answer = await client.send(replace(request, headers={**request.headers, "Range": asked}))
        if answer[0] != 416 or asked not in NO_RANGES:
            witness.fed += 2
            witness.state = witness.check(f"{bundle.name}: Range: {asked}", answer, piece)
        await witness.step(f"after Range: {asked}")


async def check_slow(client: Client, bundle: Bundle) -> None:
    """Open more connections than are served at a time, all of them with half a request.

    Raises:
        CheckError: another one waits for longer than it takes to see that they are slow.
    """
    host, port = client.url.removeprefix("http://").split(":")
    slow = [await asyncio.open_connection(host, port) for _ in range(SLOW)]
    for _, writer in slow:
        writer.write(b"GET /v2 HTTP/1.1\r\nHost: ")
    begun = time.monotonic()
    witness = Witness(client, bundle, await client.begin(bundle))
    await witness.step("beside slow connections")
    seconds = time.monotonic() - begun
    expect(
        f"{SLOW} slow connections: a step within {MOST_SECONDS} s, not {seconds:.1f}",
        True,
        seconds < MOST_SECONDS,
    )
    for _, writer in slow:
        writer.close()


async def check_turns(client: Client, bundle: Bundle, how: Callable[..., Coroutine[Any, Any, Any]]) -> None:
    """Send several requests at once for one session. Their order is the one in which they were carried out.

    Raises:
        CheckError: the answers are those of no order, or of another than the one that is known.
    """
    witness = Witness(client, bundle, await client.begin(bundle))
    pieces = [bundle.draw(witness.random, int(steps), 1) for steps in witness.random.integers(1, 40, AT_ONCE)]
    names, sequence_id = bundle.outputs, witness.sequence_id
    requests = [infer(bundle, piece, names, binary=True, sequence_id=sequence_id) for piece in pieces]
    answers = await how(client, requests)
    if how is at_once:
        pairs = sorted(zip(answers, pieces, strict=True), key=lambda pair: steps_told(pair[0]))
    else:
        pairs = list(zip(answers, pieces, strict=True))
    for answer, piece in pairs:
        witness.fed += bundle.steps(piece)
        witness.state = witness.check(f"{bundle.name}: several requests, {how.__name__}", answer, piece)


def steps_told(answer: tuple[int, bytes, Any]) -> int:
    """Read from an answer how many steps the session was fed."""
    status, body, headers = answer
    if status != 200:
        raise CheckError(f"several requests, at_once: expected 200, got {status}: {error_of(body)}")
    return int(parsed(body, headers).get_response()["parameters"]["steps"])


async def at_once(client: Client, requests: Sequence[Request]) -> list[tuple[int, bytes, Any]]:
    """Send each request on a connection of its own."""
    return await asyncio.gather(*map(client.send, requests))


async def one_after_another(client: Client, requests: Sequence[Request]) -> list[tuple[int, bytes, Any]]:
    """Send all requests on one connection before reading the first answer: they arrive in this order."""
    host, port = client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for request in requests:
        headers = {"Host": host, "Content-Length": len(request.body), **request.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"{request.method} {request.path} HTTP/1.1\r\n{head}\r\n".encode() + request.body)
    answers = [await asyncio.wait_for(read_answer(reader), SECONDS) for _ in requests]
    writer.close()
    return answers


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, Any]:
    """Read an answer that tells its length."""
    status, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
    headers = parse_headers(BytesIO(rest))
    return int(status.split()[1]), await reader.readexactly(int(headers["Content-Length"])), headers


async def check_sessions(client: Client, bundle: Bundle) -> None:
    """Check a service for two sessions, which expire after two seconds: how they begin and end.

    Raises:
        CheckError: something is not as it should be.
    """
    path = f"{bundle.path}/sessions"
    kept, ended = [await client.begin(bundle) for _ in range(2)]
    await client.ask(429, "POST", path, "one session too many")
    inputs = bundle.draw(np.random.default_rng(5), 1, 1)
    start = infer(bundle, inputs, bundle.outputs, binary=True, sequence_id="one", sequence_start=True)
    expect("sequence_start, one session too many: status", 429, (await client.send(start))[0])
    told = await client.ask(200, "GET", f"{path}/{kept}")
    expect("what is told", {"sequence_id", "model", "steps", "age_seconds", "idle_seconds"}, {*told})
    expect("what is told", (kept, bundle.name, 0), (told["sequence_id"], told["model"], told["steps"]))
    await client.ask(204, "DELETE", f"{path}/{ended}")
    await client.ask(404, "GET", f"{path}/{ended}", "a deleted session")
    idle = await client.begin(bundle)
    witness = Witness(client, bundle, kept)
    for _ in range(FED):
        await witness.step("while another expires")
        await asyncio.sleep(IDLE / 8)
    await client.ask(404, "GET", f"{path}/{idle}", "an idle session")
    await check_end(client, witness)
    await check_metrics(client, bundle)


async def check_end(client: Client, witness: Witness) -> None:
    """End a session with its last request, and begin one anew under its id."""
    bundle = witness.bundle
    path = f"{bundle.path}/sessions/{witness.sequence_id}"
    expect("steps", witness.fed, (await client.ask(200, "GET", path))["steps"])
    inputs = bundle.draw(witness.random, 3, 1)
    for again in range(2):  # from the initial state both times
        witness.fed, witness.state = 3, bundle.model.initial_state(1)
        request = infer(
            bundle,
            inputs,
            bundle.outputs,
            binary=True,
            sequence_id=witness.sequence_id,
            sequence_start=True,
            sequence_end=True,
        )
        witness.check(f"{bundle.name}: begun anew, {again}", await client.send(request), inputs)
        await client.ask(404, "GET", path, "an ended session")
    more = infer(bundle, inputs, bundle.outputs, binary=True, sequence_id=witness.sequence_id)
    expect("a request for an ended session: status", 404, (await client.send(more))[0])


async def check_metrics(client: Client, bundle: Bundle) -> None:
    """Compare some metrics with what was done above."""
    _, body, _ = await client.send(Request("GET", "/metrics"))
    text, of_model = body.decode(), f'{{model="{bundle.name}"}}'
    expected = {
        f"rnn_sessions{of_model}": 0,
        f"rnn_steps_total{of_model}": FED + 2 * 3,
        f"rnn_sessions_expired_total{of_model}": 1,
        "rnn_sessions_rejected_total": 2,
    }
    values = {name: float(value) for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", text, re.MULTILINE)}
    expect("GET /metrics", expected, {name: values.get(name) for name in expected})
    for name in ("rnn_requests_total{", "rnn_request_seconds_bucket{"):
        expect(f"GET /metrics has {name}", True, any(key.startswith(name) for key in values))


def check_save(command: Sequence[str], models: Path) -> None:
    """Give a service damaged save files.

    Raises:
        CheckError: it does not refuse to start, or does not name the file.
    """
    for content in DAMAGED:
        check_damaged(command, models, content)


def check_damaged(command: Sequence[str], models: Path, content: bytes) -> None:
    """Give a service a damaged save file."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "damaged"
        saved.write_bytes(content)
        arguments = [*command, "--port", "0", "--models", str(models), "--save", str(saved)]
        try:
            done = subprocess.run(arguments, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise CheckError("a damaged save file: expected no start, got one") from None
        if done.returncode <= 0 or str(saved) not in done.stderr.decode():
            got = f"status {done.returncode} and {done.stderr.decode()!r}"
            raise CheckError(f"a damaged save file: expected an error that names it, got {got}")
        expect("the damaged save file is untouched", True, saved.read_bytes() == content)


def hashed(content: bytes) -> bytes:
    """Put behind a save file what the service expects there: the FNV-1a hash."""
    result = 0xCBF29CE484222325
    for byte in content:
        result = (result ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return content + result.to_bytes(8, "little")


LEVELS = 1 << 18  # of nesting: far more than a stack holds
# CBOR: lists in lists, maps in maps, lists and texts of unknown length in such ones, tags of tags.
NESTED = (b"\x81", b"\xa1", b"\x9f", b"\x7f", b"\xc1")
DAMAGED = (b"no sessions", hashed(b""), *(hashed(byte * LEVELS) for byte in NESTED))


async def with_client(url: str, checks: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """Run checks of a service."""
    async with open_connections(AT_ONCE) as http:
        await checks(Client(http, url))


def check_limits(command: Sequence[str], models: Path, bundles: Sequence[Bundle]) -> None:
    """Check everything of this file.

    Raises:
        CheckError: something is not as it should be.
    """

    async def bear(client: Client) -> None:
        for bundle in bundles:
            await check_faults(client, bundle)
            await check_overflow(client, bundle)
            await check_range(client, bundle)
            for _ in range(REPEATED):
                await check_turns(client, bundle, at_once)
                await check_turns(client, bundle, one_after_another)

    with Service(command, models, "--max-body", str(MAX_BODY)) as service:
        asyncio.run(with_client(service.url, bear))
        asyncio.run(with_client(service.url, partial(check_slow, bundle=bundles[0])))
    for bundle in bundles:
        with Service(command, models, "--max-sessions", "2", "--idle-seconds", str(IDLE)) as service:
            asyncio.run(with_client(service.url, partial(check_sessions, bundle=bundle)))
    check_save(command, models)
