"""Continue a text in a session of a service: python generate.py URL NAME PROMPT LENGTH SEED [MODELS]."""

import http.client
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import accumulate, islice
from math import exp
from pathlib import Path
from typing import Any

TEMPERATURE = 0.6  # below 1: safer; above 1: wilder


def mulberry32(seed: int) -> Iterator[float]:
    """Draw uniform numbers in [0, 1): Tommy Ettinger's mulberry32, public domain."""
    mask = 0xFFFFFFFF
    while True:
        seed = (seed + 0x6D2B79F5) & mask
        mixed = ((seed ^ (seed >> 15)) * (seed | 1)) & mask
        mixed ^= (mixed + (((mixed ^ (mixed >> 7)) * (mixed | 61)) & mask)) & mask
        yield ((mixed ^ (mixed >> 14)) & mask) / 2**32


def choose(logits: list[float], uniform: float) -> int:
    """Draw a token from the softmax of the logits, by where a uniform number falls in its sum."""
    largest = max(logits) / TEMPERATURE
    cumulative = list(accumulate(exp(logit / TEMPERATURE - largest) for logit in logits))
    return next(token for token, sum_ in enumerate(cumulative) if sum_ > uniform * cumulative[-1])


def ask(url: str, request: object = None) -> dict[str, Any]:
    """Read JSON, and send some first if there is any; an error of the service is a SystemExit."""
    try:
        with open_url(url, None if request is None else json.dumps(request).encode()) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        sys.exit(f"error: {json.load(error)['error']}")


def feed(model: str, inputs: dict[str, Any], tokens: list[int], **sequence: object) -> list[float]:
    """Feed a session the tokens [time]; give the logits [vocabulary] behind the last one."""
    axes = {inputs["parameters"]["time_axis"]: len(tokens), inputs["parameters"]["batch_axis"]: 1}
    shape = [axes.get(axis, size) for axis, size in enumerate(inputs["shape"])]
    tensor = {"name": inputs["name"], "datatype": "INT64", "shape": shape, "data": tokens}
    answer = ask(f"{model}/infer", {"parameters": sequence, "inputs": [tensor]})["outputs"][0]
    logits: list[float] = answer["data"][-answer["shape"][-1] :]
    return logits


def open_url(url: str, content: bytes | None = None, method: str | None = None) -> http.client.HTTPResponse:
    """Ask the service, whose address is the user's own."""
    response = urllib.request.urlopen(urllib.request.Request(url, content, method=method))  # noqa: S310
    assert isinstance(response, http.client.HTTPResponse)
    return response


def main(url: str, name: str, prompt: str, length: str, seed: str, models: str = "models") -> None:
    """Write a text through a session of its own."""
    manifest = json.loads((Path(models) / name / "manifest.json").read_text())
    vocabulary = manifest["metadata"].get("vocabulary", "")
    if not prompt or not set(prompt) <= set(vocabulary):
        sys.exit(f"error: expected a text model and a prompt of {vocabulary!r}, got {name} and {prompt!r}")
    model = f"{url}/v2/models/{name}"
    inputs = ask(model)["inputs"][0]
    session = ask(f"{model}/sessions", {})["sequence_id"]
    logits = feed(model, inputs, [vocabulary.index(character) for character in prompt], sequence_id=session)
    text = prompt
    for uniform in islice(mulberry32(int(seed)), int(length)):
        token = choose(logits, uniform)
        text += vocabulary[token]
        logits = feed(model, inputs, [token], sequence_id=session)
    open_url(f"{model}/sessions/{session}", method="DELETE").close()
    print(text)


if __name__ == "__main__":
    if len(sys.argv) not in (6, 7):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
