"""The parts of ``model.c`` that depend on the net: constants, kernels, tiles, and the walk over time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from rnn_export.backends.c.plan.plan import Plan
from rnn_export.backends.c.trace.graph import Gather, Vector
from rnn_export.backends.c.trace.net import Net
from rnn_export.backends.c.write.context import Context
from rnn_export.backends.c.write.names import Names, vector_names
from rnn_export.backends.c.write.pack import Weights
from rnn_export.backends.c.write.small_kernels import for_small_weights
from rnn_export.backends.c.write.walk import Walk
from rnn_export.program.small_weights import FLOAT32
from rnn_export.signature.signature import Signature

DEFINED = re.compile(r"^(?:INLINE \w+|#define|typedef \w+|ALIGNED static const \w+) (\w+)", re.MULTILINE)


@dataclass
class Source:
    """A net as C."""

    net: Net
    signature: Signature
    name: str
    kind: str = FLOAT32  # the format of its matrices
    plan: Plan = field(init=False)
    weights: Weights = field(init=False)

    def __post_init__(self) -> None:
        self.plan = Plan(self.net, self.signature)
        own = {f"{self.name}_{end}" for end in ("run", "initial_state", "version", "weights")}
        kernels = defined(resource("kernels.c")) | defined(resource("small_kernels.c"))
        own |= kernels | {f"{kernel}_{self.kind}" for kernel in kernels}
        names = Names(own | defined(resource("templates/model.c.jinja")))
        vectors = vector_names(self.plan, names)
        self.weights = Weights(names, self.kind)
        context = Context(self.plan, self.name, vectors, self.weights)
        for vector in self.plan.every:
            context.regions[vector] = names.new(f"every_{self._called(vector) or vectors[vector]}")
        self.walk = list(Walk(self.plan, context).lines())
        self.tiles, self.kernels = context.functions, kernel_text(context.kernels)
        self.sizes = size_lines(context.sizes, set(re.findall(r"\w+", "\n".join([*self.tiles, *self.walk]))))

    def _called(self, vector: Vector) -> str:
        """Name the input that a vector is a copy of, if it is one."""
        given = vector.operation.views() if isinstance(vector.operation, Gather) else []
        own = [view.vector for view in given if view.complete and self.plan.is_inputs(view.vector)]
        return self.plan.input_of(own[0]).name if len(given) == len(own) == 1 else ""


def size_lines(sizes: Mapping[str, int], used: set[str]) -> list[str]:
    """Define the named sizes that are used, those of a vector on one line."""
    found: dict[str, list[str]] = {}
    for name, value in sorted(sizes.items(), key=lambda size: size[0].endswith("ROW")):
        if name in used:
            found.setdefault(name.rpartition("_")[0], []).append(f"{name} = {value},")
    return [" ".join(line) for line in found.values()]


def resource(name: str) -> str:
    """Read a file that lies beside this one."""
    return (files("rnn_export.backends.c.write") / name).read_text()


def defined(text: str) -> set[str]:
    """Find the names that C defines outside of functions."""
    return set(DEFINED.findall(text))


def kernel_text(needed: set[str]) -> list[str]:
    """Give the kernels that are needed, with those that they need."""
    text = resource("kernels.c") + resource("small_kernels.c")
    first, *sections = re.split(r"^//! (.*)\n", text, flags=re.MULTILINE)
    named = dict(zip([head.split()[0] for head in sections[::2]], sections[1::2], strict=True))
    more = {head.split()[0]: head.split()[1:] for head in sections[::2]}
    for name in sorted(needed - set(named)):
        named |= for_small_weights(name, named, more)
    wanted = set(needed)
    while missing := {other for name in wanted for other in more[name]} - wanted:
        wanted |= missing
    return [first.strip(), *(body.strip() for name, body in named.items() if name in wanted)]
