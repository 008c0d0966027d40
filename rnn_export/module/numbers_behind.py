"""The numbers that labels and truth values come of: they change where a label does not."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Decided(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the numbers of which an operation makes whole numbers or truth values; the last ones count."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers: Tensor | None = None

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation as it is."""
        result = function(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if made and not made[-1].is_floating_point():
            floats = [leaf for leaf in args if isinstance(leaf, Tensor) and leaf.is_floating_point()]
            self.numbers = floats[0].clone() if floats and floats[0].dim() > 1 else self.numbers
        return result


def numbers_behind(run: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
    """Run a module; give its outputs that are floats, or else the numbers that they come of."""
    decided = _Decided()
    with decided:
        outputs = run()
    floats = [output for output in outputs if output.is_floating_point()]
    if floats or decided.numbers is None:
        return floats or list(outputs)
    return [decided.numbers]
