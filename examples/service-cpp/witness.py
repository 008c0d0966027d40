"""A session that is fed step by step and compared each time, and the HTTP under it."""

import json
import re
from collections.abc import Sequence
from typing import Any

import aiohttp
import numpy as np
from client import Bundle, CheckError, Request, compare, error_of, expect, infer, parsed, read

from recurrent import Array, State


class Client:
    """The HTTP of a service."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    async def send(self, request: Request) -> tuple[int, bytes, Any]:
        """Send a request; give status, body and headers of the answer."""
        url = self.url + request.path
        async with self.http.request(
            request.method, url, headers=request.headers, data=request.body or None
        ) as answer:
            return answer.status, await answer.read(), answer.headers

    async def ask(self, status: int, method: str, path: str, what: str = "") -> Any:
        """Send a request without a body; give the JSON that comes with the status that is expected.

        Raises:
            CheckError: it comes with another status.
        """
        got, body, _ = await self.send(Request(method, path))
        expect(f"{what or f'{method} {path}'}: status ({body[:200]!r})", status, got)
        if status >= 400:
            error_of(body)
        return json.loads(body) if body else None

    async def begin(self, bundle: Bundle) -> str:
        """Begin a session; give its id."""
        made = await self.ask(201, "POST", f"{bundle.path}/sessions")
        expect("a new session", {"sequence_id", "model", "steps"}, {*made})
        expect("a new session", (bundle.name, 0), (made["model"], made["steps"]))
        if not re.fullmatch("[0-9a-f]{32}", made["sequence_id"]):
            raise CheckError(f"a new session's id: expected 32 hex digits, got {made['sequence_id']!r}")
        return str(made["sequence_id"])


class Witness:
    """A good session, which is fed step by step and compared each time."""

    def __init__(self, client: Client, bundle: Bundle, sequence_id: str) -> None:
        self.client = client
        self.bundle = bundle
        self.sequence_id = sequence_id
        self.state = bundle.model.initial_state(1)
        self.random = np.random.default_rng(4)
        self.fed = 0

    async def step(self, meanwhile: str) -> None:
        """Feed one step and compare.

        Raises:
            CheckError: the answer is not right.
        """
        inputs = self.bundle.draw(self.random, 1, 1)
        names = self.bundle.outputs
        request = infer(self.bundle, inputs, names, binary=self.fed % 2 == 0, sequence_id=self.sequence_id)
        answer = await self.client.send(request)
        self.fed += 1
        self.state = self.check(f"{self.bundle.name}: a good session, {meanwhile}", answer, inputs)

    def check(self, where: str, answer: tuple[int, bytes, Any], inputs: Sequence[Array]) -> State:
        """Compare an answer with what the state and the inputs should give; give the state after.

        Raises:
            CheckError: it is not right.
        """
        status, body, headers = answer
        if status != 200:
            raise CheckError(f"{where}: expected 200, got {status}: {error_of(body)}")
        result = parsed(body, headers)
        told = {"sequence_id": self.sequence_id, "steps": self.fed}
        expect(f"{where}: parameters", told, result.get_response().get("parameters"))
        outputs, state = self.bundle.run(inputs, self.state)
        names = self.bundle.outputs
        for name, got, output in zip(names, read(self.bundle, result, names), outputs, strict=True):
            if problem := compare(where, name, got, output, self.bundle.allowed[name]).problem:
                raise CheckError(problem)
        return state
