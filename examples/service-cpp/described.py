"""Whether /openapi.json is OpenAPI 3.1, and says what the service takes and gives."""

import asyncio
import copy
import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import openapi_spec_validator
from client import Bundle, CheckError, Request, Service, expect
from faults import tensor
from limits import with_client
from witness import Client

Json = dict[str, Any]


def problem(document: Json, schema: Json, value: object) -> str:
    """Tell why a value is not of a schema of a document; ``""``: it is."""
    validator = jsonschema.Draft202012Validator(schema | {"components": document["components"]})
    return next((error.message for error in validator.iter_errors(value)), "")


def answered(document: Json, path: str, method: str, status: int) -> Json:
    """Give the schema of a path's answer."""
    schema: Json = document["paths"][path][method]["responses"][str(status)]["content"]["application/json"][
        "schema"
    ]
    return schema


async def check_paths(client: Client, document: Json) -> None:
    """Ask for all that needs no session, and compare answers with their schemas.

    Raises:
        CheckError: a path is not there, or answers something else.
    """
    for path, item in document["paths"].items():
        if "get" not in item or "{" in path:
            continue
        status, body, headers = await client.send(Request("GET", path))
        expect(f"{path}: status", 200, status)
        kind = headers["Content-Type"].split(";")[0]
        expect(f"{path}: content", [kind], [*item["get"]["responses"]["200"]["content"]])
        if kind == "application/json" and (
            why := problem(document, answered(document, path, "get", 200), json.loads(body))
        ):
            raise CheckError(f"{path}: expected an answer as described, got another: {why}")


async def check_page(client: Client) -> None:
    """Read the page: it is HTML that loads nothing from elsewhere.

    Raises:
        CheckError: it names another address.
    """
    _, body, headers = await client.send(Request("GET", "/"))
    expect("the page's type", "text/html; charset=utf-8", headers["Content-Type"])
    if others := re.findall(r"""//[\w.]+\.\w+|(?:src|href)="(?!openapi\.json")[^"]*""", body.decode()):
        raise CheckError(f"the page: expected nothing from elsewhere, got {others}")


def good_request(bundle: Bundle) -> Json:
    """Give a request of a session's step."""
    inputs = bundle.draw(np.random.default_rng(10), 2, 1)
    return {
        "parameters": {"sequence_id": "described", "sequence_start": True},
        "inputs": list(map(tensor, bundle.inputs, inputs)),
        "outputs": [{"name": name} for name in bundle.outputs],
    }


def bad_requests(good: Json) -> list[tuple[str, Json]]:
    """Change a request so that the description does not fit it."""
    found = []
    for key, value in (("name", "none"), ("datatype", "FP64"), ("shape", []), ("data", ["x"])):
        bad = copy.deepcopy(good)
        bad["inputs"][0][key] = value
        found.append((f"{key} {value!r}", bad))
    longer = copy.deepcopy(good)
    longer["inputs"][0]["shape"].append(1)
    return [*found, ("one more axis", longer), ("no inputs", good | {"inputs": []})]


async def check_calls(client: Client, document: Json, bundle: Bundle) -> None:
    """Send requests, and compare them and their answers with the schemas.

    Raises:
        CheckError: a good one does not fit, or a bad one does.
    """
    path, good = f"{bundle.path}/infer", good_request(bundle)
    described = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for what, request, status in [
        ("a good request", good, 200),
        *((*bad, 400) for bad in bad_requests(good)),
    ]:
        why = problem(document, described, request)
        expect(f"{bundle.name}: {what} fits the description ({why})", status == 200, not why)
        got, body, _ = await client.send(Request("POST", path, body=json.dumps(request).encode()))
        expect(f"{bundle.name}: {what}: status ({body[:200]!r})", status, got)
        answer = answered(document, path, "post", 200) if status == 200 else ERROR
        if why := problem(document, answer, json.loads(body)):
            raise CheckError(f"{bundle.name}: {what}: expected an answer as described, got another: {why}")
    one = f"{bundle.path}/sessions/{{sequence_id}}"
    session = await client.ask(200, "GET", one.format(sequence_id="described"))
    expect(
        f"{one}: differs from its description by",
        "",
        problem(document, answered(document, one, "get", 200), session),
    )


ERROR = {"$ref": "#/components/schemas/Error"}


async def check_all(bundles: Sequence[Bundle], client: Client) -> None:
    """Check the description, the page and the answers."""
    document = await client.ask(200, "GET", "/openapi.json")
    try:
        openapi_spec_validator.validate(document)
    except openapi_spec_validator.OpenAPIValidationError as error:
        raise CheckError(f"/openapi.json: expected OpenAPI 3.1, got: {error}") from error
    expect("the version of OpenAPI", "3.1.0", document["openapi"])
    told = [path.split("/")[3] for path in document["paths"] if path.endswith("/infer")]
    expect("the models described", [bundle.name for bundle in bundles], told)
    if left := re.findall(r"\{model\}", json.dumps(document)):
        raise CheckError(f"/openapi.json: expected the models' names, got {left}")
    await check_paths(client, document)
    await check_page(client)
    for bundle in bundles:
        await check_calls(client, document, bundle)


def check_description(command: Sequence[str], models: Path, bundles: Sequence[Bundle]) -> None:
    """Check everything of this file.

    Raises:
        CheckError: something is not as it should be.
    """
    with Service(command, models) as service:
        asyncio.run(with_client(service.url, partial(check_all, bundles)))
