"""What lies in a ``.pt2``: an exported program as this package writes it, of which loading it runs nothing.

``torch.export.load`` trusts what it reads. It unpickles an example, objects, and tensors that say so; it
loads libraries that lie in the archive; it hands texts for sizes and guards to Python, to be run; and it
looks up whatever function of ``torch`` a node names. Here such an archive holds tensors as plain bytes, and a
graph of the operators ``aten`` in JSON, whose texts are names and sizes alone.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from rnn_export.bundle.untrusted import archive, json_text
from rnn_export.errors import BundleError, mismatch

KIND = "torch.export"
GRAPH = "models/model.json"
EXAMPLE = "data/sample_inputs/model.pt"  # a pickle, but where it is empty
PAYLOADS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
FOLDERS = [path.rpartition("/")[0] for path in PAYLOADS]
RECORDS = re.compile(
    rf"([A-Za-z0-9_.-]+)/(?:{re.escape(GRAPH)}|{re.escape(EXAMPLE)}|{'|'.join(map(re.escape, PAYLOADS))}"
    r"|data/weights/weight_\d{1,9}|data/constants/tensor_\d{1,9}|archive_format|archive_version"
    r"|byteorder|(?:\.data/)?version|\.format_version|\.storage_alignment|\.data/serialization_id)"
)
NAME = re.compile(r"[\w.-]{0,300}", re.ASCII)  # of nodes, weights, fields: such a text is no call in Python
TEXT = re.compile(r"[ -~]{0,300}")  # an argument of an operator: "ij,jk->ik"
OPERATOR = re.compile(
    r"torch\.ops\.aten\.(\w{1,80})\.\w{1,80}|torch\.ops\.higher_order\.scan|torch\.sym_[a-z]{1,20}"
    r"|_operator\.(?:getitem|add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_)"
)
# Operators that read and write files, or change the process.
BARRED = {"from_file", "save", "warn", "seed", "manual_seed", "_print"}
# A size, or a comparison of two, as SymPy writes it: Add(Integer(1), Symbol('s0', integer=True)).
SIZE = re.compile(
    r"(?:Symbol\('[su]\d{1,9}'(?:, (?:positive|nonnegative|integer)=True){0,3}\)|Integer\(-?\d{1,12}\)"
    r"|(?:Add|Mul|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|Equality|Unequality|(?:Strict)?(?:Less|Greater)Than)\("
    r"|\)|, ){1,200}"
)
# What a call has to fulfil, where two of its sizes are one.
GUARD = re.compile(r"L\['\w{1,200}'\]\.size\(\)\[\d\] == L\['\w{1,200}'\]\.size\(\)\[\d\]", re.ASCII)
TREE = re.compile(
    r'(?:[\[\]{}, 1]|"(?:type|context|children_spec)": |null|"null"|"\[\]"|"builtins\.(?:tuple|list|dict)")*'
)
FORMS = {
    "target": OPERATOR, "expr_str": SIZE, "guards_code": GUARD, "in_spec": TREE, "out_spec": TREE,
    "as_string": TEXT, "torch_version": TEXT,
}  # fmt: skip


def check(content: bytes, where: str) -> None:
    """Check that an archive is an exported program as this package writes it.

    Raises:
        BundleError: it is not an archive as PyTorch writes it, or holds what is run when it is loaded.
    """
    archive.check(content, where, RECORDS, KIND)
    with zipfile.ZipFile(io.BytesIO(content)) as members:
        names = {name.partition("/")[2]: name for name in members.namelist()}
        missing = [name for name in (GRAPH, EXAMPLE, *PAYLOADS) if name not in names]
        if missing:
            raise _odd(where, f"no {missing[0]}")
        if members.getinfo(names[EXAMPLE]).file_size:
            raise _odd(where, "a pickle of an example")
        texts = {}
        for name in (GRAPH, *PAYLOADS):
            if members.getinfo(names[name]).file_size > json_text.JSON_BYTES:
                raise _odd(where, f"{name} of more than {json_text.JSON_BYTES} bytes")
            texts[name] = json_text.parse(members.read(names[name]), f"{where}, {name}")
    for name in PAYLOADS:
        _check_payload(texts[name], where, names)
    for key, text in _texts(texts[GRAPH]):
        found = FORMS.get(key, NAME).fullmatch(text)
        barred = key == "target" and found and found[1] in BARRED
        if not found or barred:
            raise _odd(where, f"{key or 'a name'} {ascii(text)[:80]}")


def _check_payload(config: Any, where: str, names: dict[str, str]) -> None:
    """Check that tensors are plain bytes that are there."""
    entries = config.get("config") if isinstance(config, dict) else None
    if not isinstance(entries, dict):
        raise _odd(where, "a list of tensors that is none")
    for name, entry in entries.items():
        if not isinstance(entry, dict) or entry.get("use_pickle") is not False:
            raise _odd(where, f"a pickle of {ascii(name)[:80]}")
        path = entry.get("path_name")
        if not NAME.fullmatch(name) or not any(f"{folder}/{path}" in names for folder in FOLDERS):
            raise _odd(where, f"a tensor {ascii(name)[:80]} that is not there")


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Give each text of JSON with the key that it stands under, and each key under none."""
    waiting = [(key, value)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, list):
            waiting += [(key, child) for child in value]
        elif isinstance(value, dict):
            for name, child in value.items():
                yield "", name
                waiting.append((name, child))


def _odd(where: str, got: str) -> BundleError:
    return BundleError(mismatch(where, "an exported program as rnn-export writes it", got, "Do not open it."))
