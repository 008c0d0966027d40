"""What was found of the tensors of a call, as the signature says it."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rnn_export.module.axes import Axes, OutputAxes
from rnn_export.module.free_sizes import FreeSize
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import InputSpec, OutputSpec, StateSpec

Named = Sequence[tuple[str, FreeSize]]


def input_specs(
    names: Sequence[str], inputs: Sequence[Tensor], axes: Axes, sizes: Named, counts: Sequence[bool]
) -> tuple[InputSpec, ...]:
    """Describe what goes in; ``counts`` says which of it are numbers of time steps."""
    return tuple(
        InputSpec(
            **_spec(
                name,
                tensor,
                {axes.time[place]: TIME, axes.batch[place]: BATCH}
                | {size.inputs[place]: called for called, size in sizes},
            ),
            counts_steps=counts[place],
        )
        for place, (name, tensor) in enumerate(zip(names, inputs, strict=True))
    )


def state_specs(
    names: Sequence[str], leaves: Sequence[Tensor], axes: Axes, begun: Sequence[Any]
) -> tuple[StateSpec, ...]:
    """Describe the leaves of the state, each with what it begins with."""
    return tuple(
        StateSpec(**_spec(name, leaf, {axis: BATCH}), initial=initial)
        for name, leaf, axis, initial in zip(names, leaves, axes.state, begun, strict=False)
    )


def output_specs(
    names: Sequence[str], outputs: Sequence[Tensor], axes: Axes, sizes: Named
) -> tuple[OutputSpec, ...]:
    """Describe what comes out beside the state."""
    return tuple(
        OutputSpec(
            **_spec(
                name,
                tensor,
                _free(own) | {size.outputs[place]: called for called, size in sizes},
            )
        )
        for place, (name, tensor, own) in enumerate(zip(names, outputs, axes.outputs, strict=True))
    )


def _free(own: OutputAxes) -> dict[int | None, str]:
    return {**dict.fromkeys(own.time, own.length), own.batch: BATCH}


def _spec(name: str, tensor: Tensor, free: dict[int | None, str]) -> dict[str, Any]:
    shape = tuple(free.get(k, size) for k, size in enumerate(tensor.shape))
    return {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": shape}
