"""What a manifest and an index of golden vectors may say: every field, its type and its limits."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct, ValidationError, convert, field

from rnn_export.bundle.untrusted.files import FILE_BYTES, FILES
from rnn_export.errors import BundleError
from rnn_export.signature.sizes import BATCH, LENGTH

LEAVES = 1024  # of a state: a stack of five hundred layers has two each
RANK = 8  # axes of a tensor; a batch of sequences of images has five
CASES = 1024  # golden vectors; an export writes sixty
KINDS = 256  # operators, passes, tools: there are no more kinds
MODULES = 4096  # of Python that define a net

NAME = r"[A-Za-z_]\w*"  # of a free size of a context

Size = Annotated[int, Meta(ge=1, lt=1 << 31)]
Count = Annotated[int, Meta(ge=0, lt=1 << 62)]
Word = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,200}\Z")]
Text = Annotated[str, Meta(max_length=1 << 16)]
Dtype = Literal["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
Kind = TypeVar("Kind")
Free = Annotated[str, Meta(pattern=rf"\A({BATCH}|{LENGTH}|{NAME})\Z", max_length=200)]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """An object of JSON that has these fields and no others."""


class Tensor(Strict, frozen=True):
    """A tensor of a call."""

    name: Word
    dtype: Dtype
    shape: Annotated[list[Size | Free], Meta(max_length=RANK)]


class Input(Tensor, frozen=True):
    """A tensor that goes in."""

    role: Literal["sequence", "context", "lengths"]
    vocabulary: Size | None = None


class Output(Tensor, frozen=True):
    """A tensor that comes out beside the state."""

    flattened: bool = False
    padding: Any = 0.0


class Leaf(Tensor, frozen=True):
    """A leaf of the state."""

    initial: Any
    output_name: Word


class Call(Strict, frozen=True):
    """The signature."""

    inputs: Annotated[list[Input], Meta(min_length=1, max_length=LEAVES)]
    state: Annotated[list[Leaf], Meta(max_length=LEAVES)]
    outputs: Annotated[list[Output], Meta(min_length=1, max_length=LEAVES)]
    tree: Any
    returns_state: bool
    whole_only: Text
    lengths: bool
    streamable: bool
    takes: Annotated[list[Word], Meta(max_length=2 * LEAVES)]
    gives: Annotated[list[Word], Meta(max_length=2 * LEAVES)]
    least: Size = 1


class Model(Strict, frozen=True):
    """What the model was."""

    source_modules: Annotated[list[Text], Meta(max_length=MODULES)]
    parameters: Count
    class_: Text = field(name="class")


class File(Strict, frozen=True):
    """A file of the bundle."""

    bytes: Annotated[int, Meta(ge=0, le=FILE_BYTES)]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Pass(Strict, frozen=True):
    """A pass that was run."""

    name: Text
    form: Text
    operators: Annotated[dict[Text, Count], Meta(max_length=KINDS)]


class Verification(Struct, frozen=True):
    """What everybody reads of the report; :class:`rnn_export.verify.VerificationReport` is all of it."""

    left_out: Annotated[list[Text], Meta(max_length=KINDS)] = []


class Shape(Strict, frozen=True):
    """A call that was timed."""

    time: Size
    batch: Size


class Example(Strict, frozen=True):
    """The size of the example; empty in bundles that do not say it."""

    time: Size = 1
    batch: Size = 1


class Row(Strict, frozen=True):
    """How long a file takes in a runtime, for each shape."""

    file: Text
    runtime: Text
    microseconds: Annotated[list[Annotated[float, Meta(ge=0)]], Meta(max_length=KINDS)]
    note: Text


class Latency(Strict, frozen=True):
    """What was timed; empty before."""

    processor: Text = ""
    versions: Annotated[dict[Text, Text], Meta(max_length=KINDS)] = {}
    shapes: Annotated[list[Shape], Meta(max_length=KINDS)] = []
    rows: Annotated[list[Row], Meta(max_length=KINDS)] = []


Share = Annotated[float, Meta(ge=0, le=1)]
Error = Annotated[float, Meta(ge=0)]


class Cost(Strict, frozen=True):
    """How far smaller weights put an output off: root mean squares of it, and of the error at time steps."""

    name: Word
    size: Error
    steps: Annotated[list[Size], Meta(min_length=1, max_length=KINDS)]
    errors: Annotated[list[Error], Meta(min_length=1, max_length=KINDS)]
    largest: Error
    argmax: Share | None


class Weights(Strict, frozen=True):
    """How the weights are rounded; empty where they are not."""

    format: Literal["bf16", "int8", ""] = ""
    matrices: Annotated[list[Text], Meta(max_length=MODULES)] = []
    float32: Annotated[list[Text], Meta(max_length=MODULES)] = []
    example: Example = Example()
    outputs: Annotated[list[Cost], Meta(max_length=LEAVES)] = []
    perplexity: Annotated[list[Error], Meta(max_length=2)] = []


class Manifest(Strict, frozen=True):
    """``manifest.json``."""

    format: Text
    format_version: int
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    model: Model
    signature: Call
    files: Annotated[dict[str, File], Meta(max_length=FILES)]
    metadata: dict[Text, str]
    versions: Annotated[dict[Text, Text], Meta(max_length=KINDS)]
    verification: Verification
    passes: Annotated[list[Pass], Meta(max_length=KINDS)]
    form: Text
    latency: Latency
    example: Example = Example()
    weights: Weights = Weights()
    digest: Text = ""


class Place(Strict, frozen=True):
    """Where a golden tensor lies, of which each first, second, third, ... number is there."""

    dtype: Dtype
    shape: Annotated[list[Size], Meta(max_length=RANK)]
    offset: Count
    every: Size = 1


Places = Annotated[dict[Word, Place], Meta(max_length=2 * LEAVES)]


class Case(Strict, frozen=True):
    """A golden vector."""

    name: Word
    kind: Literal["run", "step"]
    time: Size
    batch: Size
    call: Places
    float32: Places
    float64: Places
    rounding: Places
    tolerance: Annotated[dict[Word, Annotated[float, Meta(ge=0)]], Meta(max_length=2 * LEAVES)]
    values: Literal["ordinary", "large", "tiny", "non-finite"] = "ordinary"
    undecided: Places = {}


class Dynamics(Strict, frozen=True):
    """What the net does to rounding errors."""

    exponent: float
    step_error: Annotated[float, Meta(ge=0)]
    terms: Size
    agreement: Annotated[float, Meta(gt=0)]
    horizon: Size | None


class Index(Strict, frozen=True):
    """``golden/index.json``."""

    tensors: Literal["tensors.bin"]
    byte_order: Literal["little"]
    dynamics: Dynamics | None
    cases: Annotated[list[Case], Meta(min_length=1, max_length=CASES)]
    non_finite: Annotated[list[Case], Meta(max_length=CASES)] = []


def typed(data: Any, kind: type[Kind], where: str) -> Kind:
    """Take data for what it should be.

    Raises:
        BundleError: a field lacks, is not known, or has another type or a value beyond its limits.
    """
    try:
        return convert(data, kind, strict=True)
    except ValidationError as error:
        raise BundleError(f"{where}, a field: {error}. Export the bundle again.") from error


def distinct(names: Iterable[str], where: str) -> None:
    """Check that no name comes twice.

    Raises:
        BundleError: one does.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BundleError(f"{where} has the name {name!r} twice. Export the bundle again.")
        seen.add(name)
