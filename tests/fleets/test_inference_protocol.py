"""Requests of the Open Inference Protocol: right ones get the runner's bits, wrong ones are named."""

import asyncio
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.errors import InputError, SequenceError
from rnn_export.fleets.inference_protocol import Answer, Served, Tensor, decoded
from rnn_export.signature.tensors import Array, InputSpec, StateSpec
from tests.support.paths import ROOT

NUMBERS, TEXT = (ROOT / "artifacts" / name for name in ("rnn_scratch", "char_rnn"))
X: Array = np.random.default_rng(0).standard_normal((5, 1, 16), np.float32)


@pytest.fixture(scope="module")
def served() -> Served:
    return Served(NUMBERS)


def tensor(array: Array, name: str = "inputs", datatype: str = "FP32", **other: Any) -> Tensor:
    return Tensor(
        **{"name": name, "datatype": datatype, "shape": array.shape, "data": array.tolist(), **other}
    )


def ask(served: Served, *tensors: Tensor, **other: Any) -> Answer:
    wanted, finite = other.pop("wanted", ()), other.pop("finite", False)
    return asyncio.run(served.infer(tensors, other, wanted, finite=finite))


def test_numbers_nested_flat_or_as_bytes_give_the_runners_bits(served: Served) -> None:
    outputs, state = rnn_export.load(NUMBERS)(X)
    for data in (X.tolist(), X.ravel().tolist(), X.tobytes()):
        answer = ask(served, tensor(X, data=data))
        assert answer.parameters == {}
        assert [*answer.outputs] == ["outputs", "state_0_out"]
        for got, expected in zip(answer.outputs.values(), (outputs, *state), strict=True):
            assert got.tobytes() == expected.tobytes()


def test_a_state_that_is_handed_on_and_one_that_is_kept_give_the_same_bits(served: Served) -> None:
    whole = rnn_export.load(NUMBERS)(X)[0]
    first = ask(served, tensor(X[:2]))
    second = ask(served, tensor(X[2:]), tensor(first.outputs["state_0_out"], "state_0"), wanted=["outputs"])
    assert np.concatenate([first.outputs["outputs"], second.outputs["outputs"]]).tobytes() == whole.tobytes()

    async def kept() -> list[Answer]:
        about = {"sequence_id": 7}
        return [
            await served.infer([tensor(X[:2])], about | {"sequence_start": True}),
            await served.infer([tensor(X[2:])], about | {"sequence_end": True}),
        ]

    answers = asyncio.run(kept())
    assert np.concatenate([one.outputs["outputs"] for one in answers]).tobytes() == whole.tobytes()
    assert [one.parameters for one in answers] == [{"sequence_id": "7", "steps": steps} for steps in (2, 5)]
    assert [*answers[0].outputs] == ["outputs"]
    assert not len(served.sequences)


WRONG_TENSORS = {
    "another name": (tensor(X, "nothing"), "inputs: expected each of inputs, state_0 once, got 'nothing'"),
    "another datatype": (tensor(X, datatype="FP64"), "input 'inputs': expected FP32, got 'FP64'"),
    "a shape of fractions": (tensor(X, shape=[5, 1.5, 16]), "shape: expected whole numbers from 0 on"),
    "a shape of truth": (tensor(X, shape=[5, True, 16]), "shape: expected whole numbers from 0 on"),
    "a negative shape": (tensor(X, shape=[5, -1, 16]), "shape: expected whole numbers from 0 on"),
    "a huge shape": (tensor(X, shape=[2**62, 1, 16]), "as the shape .* says, got 80"),
    "too few numbers": (tensor(X, data=[1.0]), r"expected 80 numbers, as the shape \[5, 1, 16\] says, got 1"),
    "no numbers": (tensor(X, data=[]), "expected 80 numbers, .*, got 0"),
    "texts": (tensor(X, data=["1"] * 80), "expected float32 numbers, got values of <U1"),
    "none": (tensor(X, data=[None] * 80), "expected float32 numbers, got something else"),
    "truth values": (tensor(X, data=[True] * 80), "expected float32 numbers, got values of bool"),
    "lists of several lengths": (
        tensor(X, data=[[1.0], [1.0, 2.0]]),
        "expected float32 numbers, got setting",
    ),
    "too large": (tensor(X, data=[0.0] * 79 + [1e39]), r"'inputs'\[79\]: expected a finite number, got inf"),
    "bytes of half a number": (tensor(X, data=X.tobytes()[:-1]), "expected a multiple of 4 bytes, got 319"),
    "too few bytes": (tensor(X, data=X.tobytes()[:-4]), "expected 80 numbers, .* got 79"),
    "NaN": (tensor(X, data=np.full_like(X, np.nan).tobytes()), r"\[0\]: expected a finite number, got nan"),
    "an axis too few": (tensor(X[:, 0]), r"expected float32 \[time, batch(=1)?, 16\], got float32 \[5, 16\]"),
    "another size": (
        tensor(X[..., :3]),
        r"expected float32 \[time, batch(=1)?, 16\], got float32 \[5, 1, 3\]",
    ),
    "no time step": (tensor(X[:0]), "expected at least one time step"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG_TENSORS.values(), ids=[*WRONG_TENSORS])
def test_a_wrong_tensor_is_named_and_a_sequence_is_what_it_was(
    wrong: Tensor, message: str, served: Served
) -> None:
    async def go() -> Answer:
        about = {"sequence_id": "kept"}
        await served.infer([tensor(X[:2])], about | {"sequence_start": True})
        for start in (False, True):
            with pytest.raises(InputError, match=message):
                await served.infer([wrong], about | {"sequence_start": start})
        return await served.infer([tensor(X[2:])], about | {"sequence_end": True})

    answer = asyncio.run(go())
    assert answer.parameters["steps"] == 5
    assert answer.outputs["outputs"].tobytes() == rnn_export.load(NUMBERS)(X)[0][2:].tobytes()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sequence_start": True}, "sequence_id: expected an id beside sequence_start, got none"),
        ({"sequence_id": "", "sequence_start": True}, "sequence_id: expected a text of 1 to 128"),
        ({"sequence_id": "a" * 129, "sequence_start": True}, "sequence_id: expected a text of 1 to 128"),
        ({"sequence_id": 1.5, "sequence_start": True}, "or a whole number, got 1.5"),
        ({"sequence_id": True, "sequence_start": True}, "or a whole number, got True"),
        ({"sequence_id": "a", "sequence_start": "yes"}, "sequence_start: expected true or false, got 'yes'"),
        ({"sequence_id": "a", "sequence_end": 1}, "sequence_end: expected true or false, got 1"),
        ({"sequence_id": "a"}, "sequence_id: expected the id of a sequence that has begun, got 'a'"),
    ],
)
def test_wrong_parameters_are_named(parameters: dict[str, Any], message: str, served: Served) -> None:
    with pytest.raises(InputError, match=message):
        ask(served, tensor(X), **parameters)


def test_a_call_that_does_not_fit_together_is_refused(served: Served) -> None:
    state = tensor(np.zeros((1, 32), np.float32), "state_0")
    begin = {"sequence_id": "a", "sequence_start": True}
    for tensors, other, message in (
        ([], {}, "inputs: expected inputs, got no 'inputs'"),
        ([tensor(X), tensor(X)], {}, "each of inputs, state_0 once, got 'inputs'"),
        ([tensor(X), state], begin, "inputs: expected no state, got state_0"),
        ([tensor(X)], {"wanted": ["nothing"]}, "outputs: expected each of outputs, state_0_out at most once"),
        ([tensor(X)], {"wanted": ["outputs"] * 2}, "at most once, got 'outputs'"),
    ):
        with pytest.raises(InputError, match=message):
            ask(served, *tensors, **other)
    assert not len(served.sequences)


def test_a_sequence_keeps_its_rows(served: Served) -> None:
    async def go() -> None:
        about = {"sequence_id": "rows"}
        await served.infer([tensor(np.repeat(X, 3, 1))], about | {"sequence_start": True})
        with pytest.raises(
            InputError, match=r"'inputs': expected float32 \[time, batch=3, 16\], got .* \[5, 1, 16\]"
        ):
            await served.infer([tensor(X)], about)
        await served.infer([tensor(np.repeat(X, 3, 1))], about | {"sequence_end": True})

    asyncio.run(go())


def test_a_token_id_that_there_is_not_is_named() -> None:
    ids = np.array([[3], [94]])
    with pytest.raises(
        InputError, match="'inputs': expected token ids from 0 to 93, got 94 at time 1, batch 0"
    ):
        ask(Served(TEXT), tensor(ids, datatype="INT64"))


def test_where_processes_share_the_requests_sequences_are_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", multiprocessing.current_process)
    assert ask(served, tensor(X)).outputs
    with pytest.raises(InputError, match="sequence_id: expected a server of one process"):
        ask(served, tensor(X), sequence_id=1, sequence_start=True)


class Doubling(nn.Module):
    """Doubles its state with each time step, which overflows."""

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = []
        for x_t in x:
            h = x_t * h
            outputs.append(h)
        return torch.stack(outputs), h


def test_json_carries_no_infinity_and_bytes_do(tmp_path: Path) -> None:
    rnn_export.export(Doubling(), (torch.rand(3, 2, 4), torch.rand(2, 4)), tmp_path / "b")
    served = Served(tmp_path / "b")
    large = tensor(np.full((2, 1, 4), 3e38, np.float32))
    state = tensor(np.ones((1, 4), np.float32), "state_0")
    assert np.isinf(ask(served, large, state).outputs["outputs"]).any()
    with pytest.raises(InputError, match="output 'outputs': expected finite numbers, got NaN or an infinity"):
        ask(served, large, state, finite=True)


class Backward(nn.Module):
    """Reads a sequence from its end."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 3, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


def test_a_model_of_whole_sequences_has_no_parts(tmp_path: Path) -> None:
    rnn_export.export(Backward().eval(), torch.rand(5, 2, 4), tmp_path / "b")
    served = Served(tmp_path / "b")
    name = served.inputs[0]["name"]
    x = tensor(X[..., :4], name)
    assert (
        ask(served, x).outputs["outputs"].tobytes()
        == rnn_export.load(tmp_path / "b")(X[..., :4])[0].tobytes()
    )
    with pytest.raises(
        InputError, match="sequence_id: expected a model that can be streamed, got one that is not"
    ):
        ask(served, x, sequence_id="a", sequence_start=True)


def test_metadata_says_what_the_axes_are_and_where_the_state_goes(served: Served) -> None:
    assert served.name == "rnn_scratch"
    first, state = served.inputs
    assert first == {
        "name": "inputs",
        "datatype": "FP32",
        "shape": [-1, -1, 16],
        "parameters": {"time_axis": 0, "batch_axis": 1, "role": "sequence"},
    }
    assert state["parameters"]["output_name"] == "state_0_out"
    assert served.outputs[1]["name"] == "state_0_out"
    assert served.outputs[1]["parameters"] == {"batch_axis": 0, "role": "state", "input_name": "state_0"}


def test_truth_values_and_states_of_infinities_are_decoded() -> None:
    flags = InputSpec("flags", "bool", ("time",))
    for data in ([True, False], b"\1\0"):
        assert decoded(Tensor("flags", "BOOL", [2], data), flags).tolist() == [True, False]
    for data, message in (([0, 2], "got values of int64"), (b"\1\2", "expected bytes 0 and 1, got 2")):
        with pytest.raises(InputError, match=message):
            decoded(Tensor("flags", "BOOL", [2], data), flags)
    most = StateSpec("most", "float32", ("batch",), initial="-Infinity")
    assert np.isinf(decoded(Tensor("most", "FP32", [1], np.full(1, -np.inf, np.float32).tobytes()), most))
    with pytest.raises(InputError, match="expected a number, got nan"):
        decoded(Tensor("most", "FP32", [1], np.full(1, np.nan, np.float32).tobytes()), most)


def test_bounds_come_from_whoever_serves() -> None:
    with pytest.raises(InputError, match="max_sequences: expected a number above 0, got 0"):
        Served(NUMBERS, max_sequences=0)

    async def go() -> None:
        served = Served(NUMBERS, max_sequences=1)
        await served.infer([tensor(X)], {"sequence_id": 1, "sequence_start": True})
        with pytest.raises(SequenceError, match="at most 1 sequences at a time"):
            await served.infer([tensor(X)], {"sequence_id": 2, "sequence_start": True})

    asyncio.run(go())
