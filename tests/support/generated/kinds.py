"""What a generated module is put together from: pieces of PyTorch text, each beside its NumPy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

from tests.support.generated.numpy_net import Array, Parameters

# The variables of a run in NumPy: parameters p, sizes and number n of the recipe, inputs, raw and x (time
# first), the state (a list of arrays), t, x_t, new (the state after the cell), out (the list of h).
Run = SimpleNamespace
Twin = Callable[[Run], None]


def nothing(_: Run) -> None:
    """Leave a run as it is."""


@dataclass(frozen=True)
class Hook:
    """Lines of text at one place of ``forward``, and the same in NumPy.

    A line with ``@`` stands once for each tensor of the state, ``@`` being its name.
    """

    text: str = ""
    twin: Twin = nothing


NOTHING = Hook()


@dataclass(frozen=True)
class Twist:
    """Something odd that people do, at one or several places of ``forward``.

    Attributes:
        init: lines of ``__init__``.
        argument: on ``inputs``, as they came.
        whole: on ``raw`` and ``x``, time first.
        read: in the loop, on ``x_t`` and the state before the cell.
        new: on the cell's new state.
        keep: how the new state becomes the state.
        numbers: what ``{n}`` may be.
        needs: the features that it can be used with; empty for all.
        loop: whether it needs a loop written in Python.
        words: of a refusal that names the cause; empty if the module must be exported.
        never: whether the module is no function of its arguments, so that no file can be right.
    """

    init: str = ""
    argument: Hook = NOTHING
    whole: Hook = NOTHING
    read: Hook = NOTHING
    new: Hook = NOTHING
    keep: Hook | None = None
    numbers: tuple[float, ...] = (0,)
    needs: tuple[str, ...] = ()
    loop: bool = True
    words: tuple[str, ...] = ()
    never: bool = False


@dataclass(frozen=True)
class Feature:
    """What the inputs are, and how ``x`` is made of them.

    Attributes:
        init: lines of ``__init__``.
        text: an expression of ``raw``, ``[T, B, F]`` or ``[T, B]``, that gives ``x``, ``[T, B, X]``.
        twin: the same in NumPy, of the parameters and ``raw``.
        more: how much larger X is than F.
        draw: which numbers they are, see ``inputs.py``.
        words: of a refusal that names the cause.
    """

    text: str
    twin: Callable[[Parameters, Array], Array]
    draw: str
    init: str = ""
    more: int = 0
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A recurrence: ``text`` gives ``h_new`` (and ``c_new``) of ``x_t`` and the state.

    ``begins`` is what each tensor of the state begins with, a number or a truth value, where a start of
    zeros is none for it.
    """

    init: str
    text: str
    twin: Callable[[Parameters, Array, list[Array]], list[Array]]
    state: tuple[str, ...] = ("h",)
    layer: bool = False
    words: tuple[str, ...] = ()
    begins: tuple[float, ...] = ()


@dataclass(frozen=True)
class Start:
    """Where the state begins: ``begin`` in NumPy for no state given.

    Attributes:
        argument: how ``forward`` takes the state; empty if it does not.
        text: lines that give ``h`` (and ``c``).
        init: lines of ``__init__``.
        method: the expression that ``begin_state`` returns for a tensor; empty if there is no such method.
        twin: a tensor of the state before the first time step, or ``None`` if it has to be given.
    """

    text: str
    argument: str = ""
    init: str = ""
    method: str = ""
    twin: Callable[[Run], Array] | None = None
    words: tuple[str, ...] = ()
    never: bool = False


@dataclass(frozen=True)
class Output:
    """What is returned: ``text`` on ``y``, ``[T, B, H]``, and ``raw``; ``steps`` if for all time steps."""

    text: str
    twin: Callable[[Run, Array], Array]
    steps: bool = False
    head: bool = True
    needs: tuple[str, ...] = ()
    words: tuple[str, ...] = field(default=())
