"""Many sessions at once, interleaved at random, with a graceful restart of the service halfway."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp
import numpy as np
from client import (
    Bundle,
    CheckError,
    Request,
    Service,
    compare,
    cut,
    error_of,
    expect,
    infer,
    open_connections,
    parsed,
    read,
)

from recurrent import Array, Session, by_name, time_axis

CONNECTIONS, REQUESTS, MOST_STEPS = 48, 8, 5
STOPPING = 503


@dataclass
class Client:
    """A session as its client sees it: what it sends and what has been answered."""

    bundle: Bundle
    row: int  # of the batch in which all sessions of the bundle are computed for comparison
    inputs: list[Array]
    ends: list[int]  # the time steps fed after each request
    sequence_id: str
    binary: list[bool]
    at: int = 0  # the next request
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[int, bytes, Mapping[str, str]]] = field(default_factory=list)  # which request's

    def __post_init__(self) -> None:
        self.requests = [self.request(at) for at in range(REQUESTS)]  # before the clock runs

    @property
    def where(self) -> str:
        """What a message calls it."""
        return f"{self.bundle.name}: load, session {self.sequence_id}, request {self.at + 1} of {REQUESTS}"

    def fed(self, request: int) -> int:
        """Count the time steps fed before a request."""
        return self.ends[request - 1] if request else 0

    def names(self, request: int) -> list[str]:
        """List what is asked for: at the end the state as well."""
        return self.bundle.names if request + 1 == REQUESTS else self.bundle.outputs

    def request(self, at: int) -> Request:
        """Make a request."""
        piece = self.bundle.cut(self.inputs, time=slice(self.fed(at), self.ends[at]))
        return infer(
            self.bundle,
            piece,
            self.names(at),
            binary=self.binary[at],
            sequence_id=self.sequence_id,
            sequence_start=at == 0,
            sequence_end=at + 1 == REQUESTS,
        )


def clients(bundle: Bundle, number: int, random: np.random.Generator) -> list[Client]:
    """Draw what the sessions of a bundle are fed, and in which pieces."""
    ends = random.integers(1, MOST_STEPS, (number, REQUESTS), endpoint=True).cumsum(1)
    inputs = bundle.draw(random, REQUESTS * MOST_STEPS, number)
    binary = random.random((number, REQUESTS)) < 0.5
    return [
        Client(
            bundle,
            row,
            bundle.cut(inputs, batch=slice(row, row + 1)),
            ends[row].tolist(),
            f"{random.bytes(8).hex()}",
            binary[row].tolist(),
        )
        for row in range(number)
    ]


class Load:
    """Workers that feed sessions picked at random, each by one request at a time; and one that restarts."""

    def __init__(self, service: Service, everyone: Sequence[Client], random: np.random.Generator) -> None:
        self.service = service
        self.waiting = list(everyone)
        self.half = len(everyone) * REQUESTS // 2
        self.random = random
        self.seconds: list[float] = []
        self.lost = 0  # answers of requests that were carried out
        self.stopping = ""  # the address that may refuse
        self.restarted = asyncio.Event()
        self.is_half = asyncio.Event()

    async def run(self, restart: Any) -> None:
        """Feed all sessions to their ends; halfway take up the service that ``restart`` gives.

        Raises:
            CheckError: the service does not answer as it should.
        """
        try:
            async with open_connections(CONNECTIONS) as self.http, asyncio.TaskGroup() as group:
                group.create_task(self.restart(restart))
                for _ in range(CONNECTIONS):
                    group.create_task(self.work())
        except ExceptionGroup as group_error:  # the first is the reason, and the others are like it
            raise group_error.exceptions[0] from None

    async def restart(self, restart: Any) -> None:
        """Stop the service while requests are in flight, and go on with another."""
        await self.is_half.wait()
        self.stopping = self.service.url
        self.service = await asyncio.to_thread(restart)
        self.restarted.set()

    async def work(self) -> None:
        """Feed sessions while there are some that nobody feeds."""
        while self.waiting:
            pick = int(self.random.integers(len(self.waiting)))
            self.waiting[pick], self.waiting[-1] = self.waiting[-1], self.waiting[pick]
            client = self.waiting.pop()
            await self.feed(client)
            if client.at < REQUESTS:
                self.waiting.append(client)

    async def feed(self, client: Client) -> None:
        """Send a session's next request; again, if the restart was in the way and it was not carried out."""
        while not await self.send(client):
            await self.restarted.wait()
            if await self.was_carried_out(client):
                self.lost += 1
                break
        client.at += 1
        if len(self.seconds) + self.lost >= self.half:
            self.is_half.set()

    async def send(self, client: Client) -> bool:
        """Send a session's next request and keep the answer, if there is one.

        Raises:
            CheckError: it is an error, or there is none without a reason.
        """
        url, request, start = self.service.url, client.requests[client.at], perf_counter()
        try:
            async with self.http.post(
                url + request.path, data=request.body, headers=request.headers
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, ConnectionError) as error:
            if url == self.stopping:
                return False
            raise CheckError(f"{client.where}: expected an answer, got {error!r}") from error
        if answer.status == STOPPING and url == self.stopping:
            error_of(body)
            return False
        if answer.status != 200:
            raise CheckError(f"{client.where}: expected 200, got {answer.status}: {error_of(body)}")
        self.seconds.append(perf_counter() - start)
        client.answers.append((client.at, body, answer.headers))
        return True

    async def steps(self, client: Client) -> int | None:
        """Ask how many time steps a session was fed; ``None``: there is no such session."""
        url = f"{self.service.url}{client.bundle.path}/sessions/{client.sequence_id}"
        async with self.http.get(url) as answer:
            return int((await answer.json())["steps"]) if answer.status != 404 else None

    async def was_carried_out(self, client: Client) -> bool:
        """Tell if a request that was not answered has changed its session.

        Raises:
            CheckError: the session is neither what it was nor what it should be.
        """
        before = client.fed(client.at) or None
        after = client.ends[client.at] if client.at + 1 < REQUESTS else None
        steps = await self.steps(client)
        if steps not in (before, after):
            raise CheckError(
                f"{client.where}: after the restart expected {before} or {after} steps, got {steps}"
            )
        return steps == after


class Expected:
    """What all sessions of a bundle should answer: one batch of them in ONNX Runtime, step by step."""

    def __init__(self, bundle: Bundle, everyone: Sequence[Client]) -> None:
        self.bundle = bundle
        several = zip(bundle.inputs, zip(*(client.inputs for client in everyone), strict=True), strict=True)
        inputs = [np.concatenate(parts, spec["shape"].index("batch")) for spec, parts in several]
        session = Session(bundle.model, len(everyone))
        self.steps = []
        for step in range(REQUESTS * MOST_STEPS):
            outputs = session.step(bundle.named(bundle.cut(inputs, time=step)))
            self.steps.append([*by_name(bundle.model.outputs, outputs).values(), *session.state])

    def answer(self, client: Client, request: int) -> Iterator[Array]:
        """Give the results that a request asked for."""
        steps = self.steps[client.fed(request) : client.ends[request]]
        for at, name in enumerate(client.names(request)):
            spec = self.bundle.results[at]
            assert spec["name"] == name
            timeless = {"shape": [axis for axis in spec["shape"] if axis != "time"]}
            parts = [cut(timeless, step[at], batch=slice(client.row, client.row + 1)) for step in steps]
            axis = time_axis(spec)
            yield parts[-1] if axis is None else np.stack(parts, axis)


def mismatches(client: Client, expected: Expected) -> Iterator[str]:
    """Compare all answers that a session got; tell what is wrong with each that is not right."""
    for request, body, headers in client.answers:
        client.at = request
        answer = parsed(body, headers)
        names = client.names(request)
        try:
            told = {"sequence_id": client.sequence_id, "steps": client.ends[request]}
            expect("parameters", told, answer.get_response().get("parameters"))
            results = list(read(client.bundle, answer, names))
        except CheckError as error:
            yield f"{client.where}: {error}"
            continue
        for name, got, right in zip(names, results, expected.answer(client, request), strict=True):
            if problem := compare(client.where, name, got, right, client.bundle.allowed[name]).problem:
                yield problem
                break


def drive(command: Sequence[str], models: Path, everyone: Sequence[Client], random: Any) -> Load:
    """Start a service and feed all sessions; halfway stop it and start another, which goes on."""
    started: list[Service] = []
    with tempfile.TemporaryDirectory() as folder:
        options = ["--save", f"{folder}/sessions", "--max-sessions", str(len(everyone))]

        def start() -> Service:
            for service in started:
                service.stop()
            started.append(Service(command, models, *options))
            return started[-1]

        try:
            load = Load(start(), everyone, random)
            asyncio.run(load.run(start))
            load.service.stop()
        finally:
            for service in started:
                service.process.kill()
    return load


def check_load(command: Sequence[str], models: Path, bundles: Sequence[Bundle], number: int) -> bool:
    """Feed sessions of all bundles, restart in the middle, compare all answers, and print how it went."""
    random = np.random.default_rng(1)
    everyone = [
        clients(bundle, len(range(at, number, len(bundles))), random) for at, bundle in enumerate(bundles)
    ]
    load = drive(command, models, [client for some in everyone for client in some], random)
    problems = [
        problem
        for bundle, some in zip(bundles, everyone, strict=True)
        if some
        for expected in [Expected(bundle, some)]
        for client in some
        for problem in mismatches(client, expected)
    ]
    p50, p99 = np.percentile(load.seconds, [50, 99]) * 1e3
    times = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    print(f"load: {number} sessions, {number * REQUESTS} requests, {times}, {len(problems)} mismatches")
    if problems:
        print(problems[0], file=sys.stderr)
    return not problems
