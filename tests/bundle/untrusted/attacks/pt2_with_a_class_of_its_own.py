"""The call of a ``.pt2`` names a class of Python."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*got in_spec .*subprocess"


def attack(folder: Path) -> None:
    tree = '[1, {"type": "subprocess.Popen", "context": "null", "children_spec": []}]'
    put_pt2(folder, graph={"module_call_graph": [{"signature": {"in_spec": tree}}]})
