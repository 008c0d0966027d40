"""A tensor of a ``.pt2`` says that it is a pickle."""

import json
from pathlib import Path

from rnn_export.bundle.untrusted.exported import PAYLOADS
from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*a pickle of 'w'"


def attack(folder: Path) -> None:
    weight = {"path_name": "weight_0", "is_param": True, "use_pickle": True}
    put_pt2(folder, {PAYLOADS[0]: json.dumps({"config": {"w": weight}}).encode()})
