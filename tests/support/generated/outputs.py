"""What modules return: all time steps, the last one, the last that is no padding, a mean, a maximum."""

import numpy as np

from tests.support.generated.features import TOKENS
from tests.support.generated.kinds import Output, Run
from tests.support.generated.numpy_net import Array

WHOLE = ("later time steps", "outside of the state", "whole", "padding")
VALID_IDS = "m = (raw != 0)"
VALID_ROWS = "m = (raw != 0).any(-1)"
LAST = "n = m.sum(0).clamp(min=1)\ny = y[n - 1, torch.arange(y.shape[1])]"
MEAN = "w = m.unsqueeze(-1).float()\ny = (y * w).sum(0) / w.sum(0).clamp(min=1)"


def valid(run: Run) -> Array:
    """Which time steps of which rows are no padding: ``[T, B]``."""
    return run.raw != 0 if run.raw.ndim == 2 else (run.raw != 0).any(-1)


def last_valid(run: Run, y: Array) -> Array:
    n = np.maximum(valid(run).sum(0), 1)
    return y[n - 1, np.arange(y.shape[1])]


def mean_valid(run: Run, y: Array) -> Array:
    w = valid(run)[..., None].astype(float)
    return (y * w).sum(0) / np.maximum(w.sum(0), 1)


OUTPUTS: dict[str, Output] = {
    "all": Output("", lambda _, y: y, steps=True),
    "states": Output("", lambda _, y: y, steps=True, head=False),
    "last": Output("y = y[-1]", lambda _, y: y[-1]),
    "mean": Output("y = y.mean(0)", lambda _, y: y.mean(0), words=WHOLE),
    "maximum": Output("y = y.max(0)[0]", lambda _, y: y.max(0), words=WHOLE),
    "masked": Output(
        f"{VALID_IDS}\ny = y * m.unsqueeze(-1)",
        lambda run, y: y * valid(run)[..., None],
        steps=True,
        needs=TOKENS,
    ),
    "last_valid_id": Output(f"{VALID_IDS}\n{LAST}", last_valid, needs=TOKENS, words=WHOLE),
    "mean_valid_id": Output(f"{VALID_IDS}\n{MEAN}", mean_valid, needs=TOKENS, words=WHOLE),
    "last_valid_row": Output(f"{VALID_ROWS}\n{LAST}", last_valid, needs=("plain", "clipped"), words=WHOLE),
    "mean_valid_row": Output(f"{VALID_ROWS}\n{MEAN}", mean_valid, needs=("plain", "clipped"), words=WHOLE),
    "argmax": Output("y = y.argmax(-1)", lambda _, y: y.argmax(-1), steps=True, head=False),
}
ODD_OUTPUTS = tuple(name for name in OUTPUTS if name not in {"all", "states", "last"})
