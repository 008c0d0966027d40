"""A signature as a bundle's manifest has it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import LENGTHS, InputSpec, OutputSpec, StateSpec

# What a field is called in a bundle, if it has another name there.
FIELDS = {"not_streamable_because": "whole_only"}
# JSON has no such numbers. What reads numbers takes these words, in C, Go, Java, JavaScript, Python, Rust.
INFINITIES = {"Infinity": float("inf"), "-Infinity": float("-inf")}


def to_json(signature: Signature) -> dict[str, Any]:
    """Give plain data for the manifest; what is as a rule is left out, such as a least of 1."""
    data = asdict(signature)
    if signature.least == 1:
        del data["least"]
    for entry, given in zip(data["inputs"], signature.inputs, strict=True):
        entry["role"] = given.role
        del entry["counts_steps"]
        if given.vocabulary is None:
            del entry["vocabulary"]
    for entry, output in zip(data["outputs"], signature.outputs, strict=True):
        if not output.flattened:
            del entry["flattened"]
        if output.padding == 0:
            del entry["padding"]
    for leaf, spec in zip(data["state"], signature.state, strict=True):
        leaf["initial"] = _replaced(spec.initial, {value: word for word, value in INFINITIES.items()})
        leaf["output_name"] = spec.output_name
    data["not_streamable_because"] = signature.not_streamable_because or ""
    data |= {"takes": signature.file_inputs, "gives": signature.file_outputs}
    return {FIELDS.get(name, name): value for name, value in data.items()} | {
        "streamable": signature.streamable
    }


def from_json(data: dict[str, Any]) -> Signature:
    """Read what :func:`to_json` gave."""

    def spec(entry: dict[str, Any]) -> dict[str, Any]:
        return {"name": entry["name"], "dtype": entry["dtype"], "shape": tuple(entry["shape"])}

    signature = Signature(
        inputs=tuple(
            InputSpec(
                **spec(entry), vocabulary=entry.get("vocabulary"), counts_steps=entry["role"] == "lengths"
            )
            for entry in data["inputs"]
        ),
        state=tuple(
            StateSpec(**spec(leaf), initial=_replaced(leaf["initial"], INFINITIES)) for leaf in data["state"]
        ),
        outputs=tuple(
            OutputSpec(
                **spec(entry), flattened=entry.get("flattened", False), padding=entry.get("padding", 0.0)
            )
            for entry in data["outputs"]
        ),
        tree=data["tree"],
        returns_state=data["returns_state"],
        not_streamable_because=data["whole_only"] or None,
        lengths=data["lengths"],
        least=data.get("least", 1),
    )
    takes = [name for name in data["takes"] if name != LENGTHS.name]
    return signature.in_order(takes, data["gives"])


def _replaced(value: Any, by: Mapping[Any, Any]) -> Any:
    """Replace some numbers or words in nested lists."""
    if isinstance(value, list):
        return [_replaced(part, by) for part in value]
    return by.get(value, value) if isinstance(value, str | float) else value
