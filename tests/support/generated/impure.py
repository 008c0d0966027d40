"""Modules that are no function of their arguments: they draw, remember, or write into what they get."""

import numpy as np

from tests.support.generated.features import FLOATS
from tests.support.generated.kinds import Hook, Run, Twist

IN_PLACE = ("in place", "in-place")
RANDOM = ("random", "two calls", "same arguments")
KEPT = ("two calls", "same arguments", "attribute", "buffer")


def _halved(run: Run) -> None:
    run.inputs = run.inputs * 0.5


def _cleared(run: Run) -> None:
    run.inputs = run.inputs.copy()
    run.inputs[..., 0] = 0


def _shifted(run: Run) -> None:
    run.x_t += 0.1  # a view of the inputs, as in PyTorch


def _decayed(run: Run) -> None:
    for value in run.state:
        np.multiply(value, 0.9, out=value)  # in ``out`` as well, as in PyTorch


def _keeps(init: str, whole: str, *words: str) -> Twist:
    """Keep something from one call to the next."""
    return Twist(init=init, whole=Hook(whole), loop=False, words=(*KEPT, *words), never=True)


IMPURE: dict[str, Twist] = {
    "inputs_in_place": Twist(
        argument=Hook("inputs.mul_(0.5)", _halved), needs=FLOATS, loop=False, words=IN_PLACE
    ),
    "inputs_set": Twist(
        argument=Hook("inputs[:, :, 0] = 0.0", _cleared),
        needs=("plain", "clipped"),
        loop=False,
        words=IN_PLACE,
    ),
    "inputs_rectified": Twist(
        argument=Hook(
            "F.relu(inputs, inplace=True)", lambda run: setattr(run, "inputs", np.maximum(run.inputs, 0))
        ),
        needs=("plain", "clipped"),
        loop=False,
        words=IN_PLACE,
    ),
    "step_in_place": Twist(read=Hook("x_t += 0.1", _shifted), needs=("plain",), words=IN_PLACE),
    "state_in_place": Twist(read=Hook("@.mul_(0.9)", _decayed), words=IN_PLACE),
    "dropout_in_eval": Twist(init="self.drop = nn.Dropout(0.5)", whole=Hook("x = self.drop(x)"), loop=False),
    "noise": Twist(
        new=Hook("h_new = h_new + {n} * torch.randn_like(h)"),
        numbers=(1e-9, 1e-3, 0.1),
        words=RANDOM,
        never=True,
    ),
    "noise_on_inputs": Twist(
        whole=Hook("x = x + {n} * torch.randn_like(x)"),
        numbers=(1e-9, 1e-6, 0.01),
        loop=False,
        words=RANDOM,
        never=True,
    ),
    "functional_dropout": Twist(
        whole=Hook("x = F.dropout(x, 0.5)"), loop=False, words=(*RANDOM, "dropout"), never=True
    ),
    "dropout_trains_itself": Twist(
        init="self.drop = nn.Dropout(0.5)",
        whole=Hook("self.drop.train()\nx = self.drop(x)"),
        loop=False,
        words=(*RANDOM, "dropout", "train"),
        never=True,
    ),
    "zoneout": Twist(
        keep=Hook("z = torch.bernoulli(torch.full_like(h, 0.9))\n@ = z * @_new + (1 - z) * @"),
        words=RANDOM,
        never=True,
    ),
    "numpy_random": Twist(
        whole=Hook("x = x + {n} * float(np.random.rand())"),
        numbers=(1e-6, 0.1),
        loop=False,
        words=RANDOM,
        never=True,
    ),
    "moving_average": _keeps(
        "self.register_buffer('average', torch.zeros({X}))",
        "self.average = 0.9 * self.average + 0.1 * x.mean(0).mean(0)\nx = x - self.average",
    ),
    "moving_average_in_place": _keeps(
        "self.register_buffer('average', torch.zeros({X}))",
        "self.average.mul_(0.9).add_(0.1 * x.mean(0).mean(0))\nx = x - self.average",
        *IN_PLACE,
    ),
    "counts_calls": _keeps("self.calls = 0", "self.calls += 1\nx = x / self.calls"),
    "remembers": _keeps(
        "self.memory = torch.zeros(1, {X})", "x = x + self.memory\nself.memory = x[-1, :1].detach()"
    ),
    "trains_batch_norm": _keeps(
        "self.norm_x = nn.BatchNorm1d({X})",
        "self.norm_x.train()\nx = self.norm_x(x.transpose(1, 2)).transpose(1, 2)",
        *("row", "batch", "train"),
    ),
}
