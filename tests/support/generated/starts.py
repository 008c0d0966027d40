"""Where a state begins: given, zeros, learned, random, other for each row."""

import numpy as np

from tests.support.generated.kinds import Run, Start
from tests.support.generated.numpy_net import Array, linear

WORDS = ("start", "begin", "initial")


def zeros(run: Run) -> Array:
    return np.zeros((run.x.shape[1], run.H))


def learned(run: Run) -> Array:
    return np.tile(run.p["h0"], (run.x.shape[1], 1))


ZEROS = "torch.zeros({lead}x.shape[1], {H}, dtype=x.dtype)"
H0 = "self.h0 = nn.Parameter(torch.zeros({H}))"
EXPANDED = "self.h0.repeat({lead}x.shape[1], 1)"
GIVEN = "{names} = state"
OPTIONAL = "state: Optional[{state_type}] = None"
IF_NONE = "if state is None:\n    @ = {start}\nelse:\n    {names} = state"

STARTS: dict[str, Start] = {
    "given": Start(GIVEN, "state"),
    "inside": Start(f"@ = {ZEROS}", twin=zeros),
    "inside_plain": Start("@ = torch.zeros({lead}x.shape[1], {H})", twin=zeros),
    "inside_like": Start("@ = x.new_zeros({lead}x.shape[1], {H})", twin=zeros),
    "optional": Start(IF_NONE.replace("{start}", ZEROS), OPTIONAL, twin=zeros),
    "begin_zeros": Start(
        GIVEN, "state", method="torch.zeros(({lead}batch_size, {H}), device=device)", twin=zeros
    ),
    "begin_half": Start(
        GIVEN,
        "state",
        method="torch.full(({lead}batch_size, {H}), 0.5, device=device)",
        twin=lambda run: zeros(run) + 0.5,
    ),
    "begin_learned": Start(GIVEN, "state", H0, "self.h0.repeat({lead}batch_size, 1)", twin=learned),
    "begin_random": Start(
        GIVEN,
        "state",
        method="torch.randn(({lead}batch_size, {H}), device=device)",
        words=(*WORDS, "random"),
        never=True,
    ),
    "begin_by_row": Start(
        GIVEN,
        "state",
        method="torch.arange(batch_size * {H}, device=device).reshape({lead}batch_size, {H}).float() / 20.0",
        twin=lambda run: np.arange(run.x.shape[1] * run.H).reshape(-1, run.H) / 20.0,
        words=(*WORDS, "row"),
        never=True,
    ),
    "learned_inside": Start(f"@ = {EXPANDED}", "", H0, twin=learned),
    "learned_optional": Start(IF_NONE.replace("{start}", EXPANDED), OPTIONAL, H0, twin=learned, words=WORDS),
    "random_inside": Start(
        "@ = torch.randn({lead}x.shape[1], {H})",
        twin=zeros,
        words=("random", "two calls", "same arguments"),
        never=True,
    ),
    "from_first_inputs": Start(
        "@ = torch.tanh(self.start(x[0])){unsqueezed}",
        init="self.start = nn.Linear({X}, {H})",
        twin=lambda run: np.tanh(linear(run.p, "start", run.x[0])),
        words=(*WORDS, "outside of the state", "later time steps", "whole"),
    ),
}
