"""PyTorch's exporter of TorchScript, as a worker runs it: what it gives for one module, or why it fails.

The exporter is deprecated upstream, and written in C++ that ends its process for some modules.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch


def request(
    flat: torch.jit.ScriptModule,
    example: Sequence[torch.Tensor],
    names: Mapping[str, Sequence[str]],
    free: Mapping[str, Mapping[int, str]],
    opset: int,
) -> bytes:
    """Write down what is to be exported: a module of tensors, and its example.

    ``free`` names the free axes of each input and output.
    """
    file = io.BytesIO()
    saved = torch.frombuffer(bytearray(flat.save_to_buffer()), dtype=torch.uint8)
    options = {**{key: [*value] for key, value in names.items()}, "opset_version": opset}
    options["dynamic_axes"] = {name: dict(axes) for name, axes in free.items()}
    torch.save({"module": saved, "example": [*example], "options": options}, file)
    return file.getvalue()


def export(asked: bytes) -> bytes:
    """Export what a request says: a line with the reason if that fails, and the bytes of the ONNX file."""
    request: dict[str, Any] = torch.load(io.BytesIO(asked), weights_only=True)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = torch.jit.load(io.BytesIO(request["module"].numpy()))  # type: ignore[no-untyped-call]
            torch.onnx.export(
                module,
                tuple(request["example"]),
                file,  # type: ignore[arg-type]
                dynamo=False,
                **request["options"],
            )
        except Exception as error:
            lines = str(error).strip().partition("\n")[0].partition("  [Caused by")[0]
            return (lines or type(error).__name__).encode() + b"\n"
    return b"\n" + file.getvalue()


def read(answer: bytes) -> tuple[bytes, str]:
    """Give the bytes of the ONNX file, and the reason if there is none."""
    reason, _, content = answer.partition(b"\n")
    return content, reason.decode(errors="replace")
