"""Which columns of a table a model takes and gives: found, and checked, before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_export.errors import InputError, mismatch, nearest
from rnn_export.fleets.columns import check_type
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import LENGTHS, InputSpec, TensorSpec


@dataclass(frozen=True)
class Asked:
    """What the user asks for.

    Attributes:
        columns: the column of a tensor, where it is not called as the tensor is.
        keep: the columns that are copied; ``None`` copies all that the model does not take.
        state: whether the new state is written beside the outputs.
        cast: whether numbers of another type may be rounded to the model's.
    """

    columns: Mapping[str, str]
    keep: Sequence[str] | None = None
    state: bool = False
    cast: bool = False


@dataclass(frozen=True)
class Plan:
    """The columns.

    Attributes:
        signature: of the model.
        taken: the column of each tensor that goes in, by the tensor's name. Without those of the state a row
            begins at the initial state; without one of lengths these are those of the lists.
        given: the column of each tensor that is written.
        kept: the columns that are copied.
    """

    signature: Signature
    taken: Mapping[str, str]
    given: Mapping[str, str]
    kept: tuple[str, ...]

    @property
    def read(self) -> list[str]:
        """The columns that are read."""
        return [*dict.fromkeys((*self.kept, *self.taken.values()))]


def counts_steps(spec: TensorSpec) -> bool:
    """Whether a tensor is the number of time steps of each row."""
    return spec is LENGTHS or (isinstance(spec, InputSpec) and spec.counts_steps)


def plan(signature: Signature, schema: Any, asked: Asked, where: str) -> Plan:
    """Find the columns of each tensor, and check their types.

    Args:
        signature: of the model.
        schema: of Arrow, of the rows.
        asked: what the user asks for.
        where: names the rows in errors.

    Raises:
        InputError: a column is missing, has another type, or would be there twice.
    """
    names = [*signature.input_names, *signature.output_names]
    for name in asked.columns:
        if name not in names:
            remedy = nearest(name, names, "Name one of them.")
            raise InputError(mismatch("columns", f"of {', '.join(names)}", repr(name), remedy))
    if asked.state and not (signature.streamable and signature.returned_state):
        reason = signature.not_streamable_because or "it has none"
        raise InputError(f"state: no call of this model goes on from a state: {reason}. Leave it out.")
    called = {name: asked.columns.get(name, name) for name in names}
    taken = dict[str, str]()
    for spec in _specs_taken(signature, called, schema, asked):
        name = called[spec.name]
        if name not in schema.names:
            remedy = nearest(name, schema.names, f"columns={{{spec.name!r}: ...}} (--column) names another.")
            raise InputError(mismatch(where, f"a column {name!r}", ", ".join(schema.names) or "none", remedy))
        check_type(schema.field(name).type, spec, f"{where}, column {name!r}", cast=asked.cast)
        taken[spec.name] = name
    results = [spec.name for spec in signature.outputs]
    results += [leaf.output_name for leaf in signature.returned_state] if asked.state else []
    given = {name: called[name] for name in results}
    return Plan(signature, taken, given, _kept(schema, asked, taken, given, where))


def _specs_taken(
    signature: Signature, called: Mapping[str, str], schema: Any, asked: Asked
) -> list[TensorSpec]:
    """Give the tensors that are read: lengths if there is a column, a state if there is one of any leaf."""
    there = {name for name in called if name in asked.columns or called[name] in schema.names}
    begun = signature.streamable and any(leaf.name in there for leaf in signature.state)
    state = signature.state if begun else ()
    others = (*signature.inputs, *([LENGTHS] if signature.lengths else []))
    return [*(spec for spec in others if spec.name in there or not counts_steps(spec)), *state]


def _kept(
    schema: Any, asked: Asked, taken: Mapping[str, str], given: Mapping[str, str], where: str
) -> tuple[str, ...]:
    """Give the columns that are copied, none of which may be called as a result."""
    own = {*taken.values()}
    kept = [name for name in schema.names if name not in own] if asked.keep is None else [*asked.keep]
    for name in kept:
        if name not in schema.names:
            remedy = nearest(name, schema.names, "Name one of them.")
            raise InputError(mismatch(where, f"a column {name!r}", ", ".join(schema.names), remedy))
    written = [*kept, *given.values()]
    for name in written:
        if written.count(name) > 1:
            remedy = "Name the result's otherwise, columns={RESULT: NAME} (--column RESULT=NAME)."
            raise InputError(mismatch(where, f"one column {name!r} in the results", "two", remedy))
    return tuple(kept)
