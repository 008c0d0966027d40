"""A ``.pt2`` names weights that are not there."""

import json
from pathlib import Path

from rnn_export.bundle.untrusted.exported import PAYLOADS
from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*a tensor 'w' that is not there"


def attack(folder: Path) -> None:
    weight = {"path_name": "weight_1", "is_param": True, "use_pickle": False}
    put_pt2(folder, {PAYLOADS[0]: json.dumps({"config": {"w": weight}}).encode()})
