"""Masks, and what depends on time, on the batch or on values: odd, and seen in the wild."""

import numpy as np

from tests.support.generated.features import FLOATS, TOKENS
from tests.support.generated.kinds import Hook, Run, Twist
from tests.support.generated.numpy_net import Array

KEEP = "@ = torch.where(m, @_new, @)"
DATA = ("data", "value", "branch")
TIME = ("later time steps", "outside of the state", "time step", "length")
ROWS = ("row", "batch")


def _where(mask: Array, run: Run) -> None:
    run.state = [np.where(mask, new, old) for new, old in zip(run.new, run.state, strict=True)]


def _some_rows(run: Run) -> Array:
    """Which rows of this time step hold something else than zeros: ``[B, 1]``."""
    return (run.raw[run.t] != 0).any(-1, keepdims=True)


def _start_done(run: Run) -> None:
    run.done = np.zeros((run.x.shape[1], 1), bool)


def _freeze(run: Run) -> None:
    _where(~run.done, run)
    run.done |= run.raw[run.t][:, None] == 2


def _reset(run: Run, mask: Array) -> None:
    run.state = [np.where(mask, 0.0, value) for value in run.state]


MASKS: dict[str, Twist] = {
    "padding_keeps": Twist(
        keep=Hook(
            f"m = (raw[t] != 0)[:, None]\n{KEEP}", lambda run: _where(run.raw[run.t][:, None] != 0, run)
        ),
        needs=TOKENS,
    ),
    "padding_multiplies": Twist(
        keep=Hook(
            "m = (raw[t] != 0).float().unsqueeze(-1)\n@ = m * @_new + (1 - m) * @",
            lambda run: _where(run.raw[run.t][:, None] != 0, run),
        ),
        needs=TOKENS,
    ),
    "stop_freezes": Twist(
        whole=Hook("done = torch.zeros(x.shape[1], 1)", _start_done),
        keep=Hook(
            "@ = torch.where(done > 0, @, @_new)\ndone = torch.maximum(done, (raw[t] == 2).float()[:, None])",
            _freeze,
        ),
        needs=TOKENS,
        words=TIME,
    ),
    "start_token_resets": Twist(
        read=Hook(
            "@ = torch.where((raw[t] == 1).unsqueeze(1), torch.zeros_like(@), @)",
            lambda run: _reset(run, run.raw[run.t][:, None] == 1),
        ),
        needs=TOKENS,
    ),
    "zero_rows_keep": Twist(
        keep=Hook(
            f"m = (raw[t] != 0).any(-1, keepdim=True)\n{KEEP}", lambda run: _where(_some_rows(run), run)
        ),
        needs=("plain", "clipped"),
    ),
    "zero_sums_keep": Twist(
        keep=Hook(
            "m = (raw[t].abs().sum(-1, keepdim=True) > 0).float()\n@ = m * @_new + (1 - m) * @",
            lambda run: _where(_some_rows(run), run),
        ),
        needs=("plain", "clipped"),
    ),
    "missing_keep": Twist(
        keep=Hook(
            "m = torch.isnan(raw[t]).any(-1).unsqueeze(-1)\n@ = torch.where(m, @, @_new)",
            lambda run: _where(~np.isnan(run.raw[run.t]).any(-1, keepdims=True), run),
        ),
        needs=("missing",),
    ),
    "flag_resets": Twist(
        read=Hook("@ = @ * (1.0 - raw[t][:, -1:])", lambda run: _reset(run, run.raw[run.t][:, -1:] == 1)),
        needs=("flag",),
    ),
    "flag_resets_where": Twist(
        read=Hook(
            "@ = torch.where(raw[t][:, -1:] > 0.5, torch.zeros_like(@), @)",
            lambda run: _reset(run, run.raw[run.t][:, -1:] > 0.5),
        ),
        needs=("flag",),
    ),
    "large_resets": Twist(
        read=Hook(
            "@ = torch.where(raw[t][:, :1] > {n}, torch.zeros_like(@), @)",
            lambda run: _reset(run, run.raw[run.t][:, :1] > run.n),
        ),
        numbers=(5.0, 8.0),
        needs=("plain", "clipped"),
    ),
}


def _cut(run: Run) -> None:
    run.inputs = run.inputs[:, : int(run.n)] if run.rows_first else run.inputs[: int(run.n)]


def _scaled(condition: str) -> Hook:
    def twin(run: Run) -> None:
        size = run.x.shape[0 if condition == "T" else 1]
        run.x = run.x * 0.5 if size > run.n else run.x

    return Hook(f"if x.shape[{0 if condition == 'T' else 1}] > {{n}}:\n    x = x * 0.5", twin)


def _every(run: Run) -> None:
    if run.t and run.t % run.n == 0:
        run.state = [value * 0 for value in run.state]


def _sometimes(run: Run) -> None:
    if run.t % run.n == 0:
        run.state = run.new


def _until(run: Run) -> None:
    if run.t < run.n:
        run.state = run.new


def _echo(run: Run) -> None:
    if run.t >= run.n:
        run.new[0] = run.new[0] + 0.04 * run.out[run.t - int(run.n)]


def _input_echo(run: Run) -> None:
    if run.t >= run.n:
        run.x_t = run.x_t + run.x[run.t - int(run.n)]


def _ahead(run: Run) -> None:
    if run.t + 1 < len(run.x):
        run.x_t = run.x_t + run.x[run.t + 1]


def _set(name: str, function: object) -> object:
    def twin(run: Run) -> None:
        setattr(run, name, function(run))  # type: ignore[operator]

    return twin


TIMES: dict[str, Twist] = {
    "cut_at": Twist(
        argument=Hook("inputs = inputs[{cut}]", _cut),
        numbers=(512, 400, 256, 64, 2000),
        loop=False,
        words=(*TIME, "shape"),
    ),
    "long_path": Twist(
        whole=_scaled("T"), numbers=(500, 256, 100, 16, 2000), loop=False, words=(*TIME, "branch")
    ),
    "wide_path": Twist(whole=_scaled("B"), numbers=(32, 8), loop=False, words=(*ROWS, "branch")),
    "reset_every": Twist(
        read=Hook("if t > 0 and t % {n} == 0:\n    @ = @ * 0", _every),
        numbers=(256, 200, 64, 10, 1500, 3000),
        words=TIME,
    ),
    "every_tenth": Twist(
        keep=Hook("if t % {n} == 0:\n    @ = @_new", _sometimes), numbers=(10, 12, 3), words=TIME
    ),
    "stops_at": Twist(keep=Hook("if t < {n}:\n    @ = @_new", _until), numbers=(256, 100, 24), words=TIME),
    "delay": Twist(
        new=Hook("if t >= {n}:\n    h_new = h_new + 0.04 * out[t - {n}]", _echo),
        numbers=(12, 50, 5),
        words=TIME,
    ),
    "input_delay": Twist(
        read=Hook("if t >= {n}:\n    x_t = x_t + x[t - {n}]", _input_echo), numbers=(12, 50, 5), words=TIME
    ),
    "next_input": Twist(read=Hook("if t + 1 < x.shape[0]:\n    x_t = x_t + x[t + 1]", _ahead), words=TIME),
    "position": Twist(
        read=Hook("x_t = x_t / (t + 1)", _set("x_t", lambda run: run.x_t / (run.t + 1))), words=TIME
    ),
    "position_table": Twist(
        init="self.position = nn.Embedding(1000, {X})",
        whole=Hook(
            "x = x + self.position(torch.arange(x.shape[0])).unsqueeze(1)",
            _set("x", lambda run: run.x + run.p["position.weight"][: len(run.x), None]),
        ),
        loop=False,
        words=TIME,
    ),
    "backwards": Twist(
        whole=Hook("x = x.flip(0)", _set("x", lambda run: run.x[::-1])), loop=False, words=TIME
    ),
    "centred": Twist(
        whole=Hook("x = x - x.mean(0, keepdim=True)", _set("x", lambda run: run.x - run.x.mean(0))),
        loop=False,
        words=TIME,
    ),
    "centred_rows": Twist(
        whole=Hook(
            "x = x - x.mean(1, keepdim=True)", _set("x", lambda run: run.x - run.x.mean(1, keepdims=True))
        ),
        loop=False,
        words=ROWS,
    ),
}


def _quiet(run: Run) -> None:
    run.state = run.new if abs(run.x_t).max() < run.n else [new * 0 for new in run.new]


def _some_valid(run: Run) -> None:
    run.state = run.new if (run.raw[run.t] != 0).any() else run.state


def _halved(run: Run) -> None:
    while abs(run.new[0]).max() > 1.5:
        run.new[0] = run.new[0] * 0.5


BRANCHES: dict[str, Twist] = {
    "quiet_only": Twist(
        keep=Hook("if x_t.abs().max() < {n}:\n    @ = @_new\nelse:\n    @ = @_new * 0", _quiet),
        numbers=(6.0, 20.0, 3.0),
        words=DATA,
    ),
    "pixels": Twist(
        whole=Hook(
            "if x.max() > 50:\n    x = x / 10.0",
            _set("x", lambda run: run.x / 10 if run.x.max() > 50 else run.x),
        ),
        needs=FLOATS,
        loop=False,
        words=DATA,
    ),
    "skips_padding": Twist(
        keep=Hook("if bool((raw[t] != 0).any()):\n    @ = @_new", _some_valid), needs=TOKENS, words=DATA
    ),
    "halves_while_large": Twist(
        new=Hook("while h_new.abs().max() > 1.5:\n    h_new = h_new * 0.5", _halved), words=DATA
    ),
    "item": Twist(
        read=Hook(
            "size = x_t.abs().max().item()\nx_t = x_t / max(size, 4.0)",
            _set("x_t", lambda run: run.x_t / max(abs(run.x_t).max(), 4.0)),
        ),
        words=(*DATA, "item"),
    ),
}
