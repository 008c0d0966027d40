"""A file for each known trick: ``attack`` spoils a copy of a bundle, ``REFUSED`` is what is said of it.

Whoever wrote the bundle wrote the manifest too: the hashes are right wherever they can be.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx

from rnn_export.bundle.untrusted import exported
from rnn_export.bundle.untrusted.archive import TAIL
from tests.support.manifests import resealed, rewrite

MANIFEST = "manifest.json"
INDEX = "golden/index.json"
Data = dict[str, Any]


def put(folder: Path, name: str, content: bytes) -> None:
    """Write a file, with its right size and hash in the manifest."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    edit(folder, lambda manifest: manifest["files"].update({name: facts(content)}))


def facts(content: bytes) -> Data:
    """Give what the manifest says of a file."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def varint(number: int) -> bytes:
    """Write a number as protobuf does."""
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def edit(folder: Path, change: Callable[[Data], object]) -> None:
    """Change the manifest."""
    rewrite(folder, change)


def edit_text(folder: Path, old: str, new: str) -> None:
    """Change what the manifest says as a text, which need not be JSON then."""
    text = (folder / MANIFEST).read_text()
    assert old in text
    (folder / MANIFEST).write_text(resealed(text.replace(old, new, 1)))


def edit_index(folder: Path, change: Callable[[Data], object]) -> None:
    """Change the index of the golden vectors."""
    index = json.loads((folder / INDEX).read_text())
    change(index)
    put(folder, INDEX, json.dumps(index).encode())


def edit_onnx(folder: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    """Change ``model.onnx``."""
    model = onnx.load(folder / "model.onnx")
    change(model)
    put(folder, "model.onnx", model.SerializeToString())


def elsewhere(location: str) -> onnx.TensorProto:
    """Give a tensor whose data lies in another file."""
    tensor = onnx.TensorProto(name="stolen", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def constant(name: str, **attribute: Any) -> onnx.NodeProto:
    """Give a node that holds a tensor."""
    return onnx.helper.make_node("Constant", [], [name], **attribute)


def put_pt(folder: Path, content: bytes) -> None:
    """Replace ``model.pt``."""
    put(folder, "model.pt", content)


def patched(folder: Path, *pairs: tuple[bytes, bytes]) -> None:
    """Replace bytes of ``model.pt`` by as many others, wherever they stand."""
    content = (folder / "model.pt").read_bytes()
    for old, new in pairs:
        assert old in content
        assert len(old) == len(new)
        content = content.replace(old, new)
    put_pt(folder, content)


SIZE = "Symbol('s0', integer=True, positive=True)"


def put_pt2(
    folder: Path, members: Mapping[str, bytes] = {}, *, graph: Data | None = None, **node: Any
) -> None:
    """Put a small ``model.pt2`` there, with other members, other facts of its graph, or of its only node."""
    size = {"as_expr": {"expr_str": SIZE, "hint": {"as_int": 3}}}
    value = {"dtype": 7, "sizes": [size], "requires_grad": False, "device": {"type": "cpu", "index": None}}
    tanh = {"target": "torch.ops.aten.tanh.default", "inputs": [], "outputs": [], "metadata": {}, "name": "y"}
    program = {
        "graph_module": {"graph": {"nodes": [tanh | node], "tensor_values": {"x": value}}},
        "guards_code": ["L['x'].size()[0] == L['h'].size()[1]"],
        "torch_version": "2.13.0+cpu",
    }
    weight = {"path_name": "weight_0", "is_param": True, "use_pickle": False}
    contents = {
        exported.GRAPH: json.dumps(program | (graph or {})).encode(),
        exported.EXAMPLE: b"",
        exported.PAYLOADS[0]: json.dumps({"config": {"w": weight}}).encode(),
        exported.PAYLOADS[1]: b'{"config": {}}',
        "data/weights/weight_0": bytes(16),
        "version": b"3\n",
        **members,
    }
    put(folder, "model.pt2", zipped(*((f"archive/{name}", content) for name, content in contents.items())))


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Make an archive that ends as those of PyTorch do."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
        start, count = archive.start_dir, len(members)
    body = stream.getvalue()[:-22]
    return body + tail(count, len(body) - start, start)


def tail(count: int, length: int, start: int) -> bytes:
    """Give the records that end an archive."""
    longer = (b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)
    return TAIL.pack(
        *longer, b"PK\x06\x07", 0, start + length, 1, b"PK\x05\x06", 0, 0, count, count, length, start, 0
    )
