"""Smaller weights in words: what a manifest says of them, and what rounding them costs."""

from collections.abc import Mapping
from typing import Any


def weights_text(weights: Mapping[str, Any]) -> list[str]:
    """Say how the weights are rounded, what that costs on the example, and what is not rounded.

    >>> cost = {"name": "outputs", "size": 2.0, "steps": [1, 20], "errors": [0.01, 0.02], "largest": 0.1}
    >>> facts = {"format": "int8", "matrices": ["W"], "float32": ["model.c: V [3, 4]"]}
    >>> facts |= {"example": {"time": 20, "batch": 2}, "outputs": [{**cost, "argmax": 0.975}]}
    >>> print(*weights_text({**facts, "perplexity": [4.35, 4.36]}), sep="\\n")
    weights in int8, against float32, in eager PyTorch on the example (T=20, B=2):
      outputs: off by 0.5 % at time step 1, 1 % at 20 (root mean square); at most 0.1; argmax alike in 97.50 %
      perplexity: 4.3500, 4.3600 with int8 (+0.23 %)
    in float32 all the same: model.c: V [3, 4]
    """
    if not weights:
        return []
    kind, example = weights["format"], weights["example"]
    where = f"T={example['time']}, B={example['batch']}"
    lines = [f"weights in {kind}, against float32, in eager PyTorch on the example ({where}):"]
    lines += [f"  {_output(cost)}" for cost in weights["outputs"]]
    if weights["perplexity"]:
        before, after = weights["perplexity"]
        more = f"{after / before - 1:+.2%}".replace("%", " %")
        lines.append(f"  perplexity: {before:.4f}, {after:.4f} with {kind} ({more})")
    return [*lines, *(f"in float32 all the same: {what}" for what in weights["float32"])]


def _output(cost: Mapping[str, Any]) -> str:
    """Say how far an output is off, along time."""
    size = cost["size"] or 1.0
    shares = [f"{100 * error / size:.2g} %" for error in cost["errors"]]
    if len(cost["steps"]) > 1:
        first, *others = zip(shares, cost["steps"], strict=True)
        shares = [f"{first[0]} at time step {first[1]}", *(f"{share} at {step}" for share, step in others)]
    alike = "" if cost["argmax"] is None else f"; argmax alike in {100 * cost['argmax']:.2f} %"
    off = f"off by {', '.join(shares)} (root mean square); at most {cost['largest']:.2g}"
    return f"{cost['name']}: {off}{alike}"
