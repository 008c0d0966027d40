"""Run a module in another precision than it was written for, whatever dtypes it names.

``model.double()`` converts parameters and buffers. A module may name its dtype elsewhere: in ``x.float()``,
in ``dtype=torch.float32``, in a tensor that is a plain attribute or that ``torch.zeros`` makes. Here every
operation converts what it takes and what it gives::

    one_hot(ids).float()   ->  float64          torch.zeros(3)   ->  float64
    x.dtype                ->  float32          finfo(x.dtype)   ->  that of float32

Nothing of it is seen by other threads, unlike ``torch.set_default_dtype``.
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Result = TypeVar("Result")
Dtypes = Mapping[torch.dtype, torch.dtype]
TORCH = str(Path(torch.__file__).parent)
NARROW = {torch.float64: torch.float32, torch.complex128: torch.complex64}
WIDE = {narrow: wide for wide, narrow in NARROW.items()}


# Functions that take a number of the dtype's where they are given none, by the parameter that it is for.
LIMITS: dict[Any, dict[str, str]] = {
    functional.rms_norm: {"eps": "eps"},
    torch.rms_norm: {"eps": "eps"},
    torch.nan_to_num: {"posinf": "max", "neginf": "min"},
    Tensor.nan_to_num: {"posinf": "max", "neginf": "min"},
}
PLACES = {"eps": 3, "posinf": 2, "neginf": 3}  # of these parameters


class Converted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs every operation with some dtypes replaced by others; ``met`` says whether one came."""

    def __init__(self, dtypes: Dtypes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtypes, self.met = dtypes, False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Let upstream not import its compiler for this, and look at every operation twice."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; what it changes in place is changed for its owner."""
        given = [*args, *(kwargs or {}).values()]
        own = list(map(self._converted, args))
        named = {name: self._converted(value) for name, value in (kwargs or {}).items()}
        result = function(*own, **named)
        if function._schema.is_mutable:
            for before, after in zip(given, [*own, *named.values()], strict=True):
                if before is not after and isinstance(before, Tensor):
                    before.copy_(after)
        return self._converted(result)

    def _converted(self, value: Any) -> Any:
        if isinstance(value, Tensor | torch.dtype):
            own = value.dtype if isinstance(value, Tensor) else value
            wanted = self.dtypes.get(own)
            if wanted is not None:
                self.met = True
                return value.to(wanted) if isinstance(value, Tensor) else wanted
        elif isinstance(value, tuple | list):
            return type(value)(map(self._converted, value))
        return value


class Named(TorchFunctionMode):
    """Answers with the dtypes that a module would find without :class:`Converted`, and with their limits.

    ``met`` says whether it asked for one; what torch's own modules ask is of no account.
    """

    def __init__(self, dtypes: Dtypes, native: torch.dtype) -> None:
        super().__init__()
        self.dtypes, self.limits, self.met = dtypes, torch.finfo(native), False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch."""
        named = dict(kwargs or {})
        for name, limit in LIMITS.get(function, {}).items():
            if named.get(name) is None and all(part is None for part in args[PLACES[name] :][:1]):
                args, named[name] = args[: PLACES[name]], getattr(self.limits, limit)
                self.met = True
        result = function(*args, **named)
        if isinstance(result, torch.dtype) and result in self.dtypes:
            self.met |= not sys._getframe(1).f_code.co_filename.startswith(TORCH)
            return self.dtypes[result]
        return result


class InPrecision:
    """Runs what was written for one floating-point dtype in another one, in this thread.

    To look at every operation takes several times as long as the operations of a small net, and to answer
    with other dtypes as long again. What asks for no dtype in its first run is answered as it is from then
    on, and what meets none of the dtypes either is run as it is, unless that fails.
    """

    def __init__(self, native: torch.dtype, wanted: torch.dtype) -> None:
        self.native, self.same = native, native == wanted
        self.asked = self.met = True
        self.there, self.back = (WIDE, NARROW) if wanted == torch.float64 else (NARROW, WIDE)

    def __call__(self, run: Callable[[], Result]) -> Result:
        """Run a function, which makes its own tensors in the wanted dtype."""
        if self.same:
            return run()
        if not self.asked:
            with suppress(Exception), Converted(self.there) if self.met else nullcontext():
                return run()
        with Named(self.back, self.native) as named, Converted(self.there) as operations:
            result = run()
        self.asked, self.met = named.met, named.met or operations.met
        return result
