"""What a ``.pt2`` of anybody is: taken as this package writes it, or refused, whatever is in it."""

import io
import zipfile
from pathlib import Path
from random import Random

import pytest
import torch

from rnn_export.backends import torch_export
from rnn_export.backends.archive import canonical
from rnn_export.bundle.layout import MODEL_PT2
from rnn_export.bundle.untrusted.exported import GRAPH, check
from rnn_export.errors import BundleError
from rnn_export.models import LSTMScratch
from rnn_export.module.candidates import Said
from rnn_export.module.inspection import inspect_export
from trials import mutations

MUTANTS = 300


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    net = LSTMScratch(4, 6, 3)
    args = torch.randn(9, 3, 4), net.begin_state(3, torch.device("cpu"))
    subject = inspect_export(net, args, kwargs=None, step=False, lengths=True, said=Said({}, {}, None))
    path: Path = tmp_path_factory.mktemp("exported") / MODEL_PT2
    torch_export.write(subject, path)
    return path.read_bytes()


def spoilt(content: bytes, number: int) -> bytes:
    """Spoil bytes, the records of the archive, or the graph within an archive that is right."""
    random = Random(number)
    if number % 3 == 0:
        return mutations.spoiled_bytes(content, random)
    if number % 3 == 1:
        return mutations.spoiled_zip(content, random)
    return canonical(
        content, lambda name, record: mutations.spoiled_json(record, random) if name == GRAPH else record
    )


def test_mutants_are_refused_or_taken_and_nothing_else(right: bytes) -> None:
    check(right, MODEL_PT2)
    refused = 0
    for number in range(MUTANTS):
        try:
            check(spoilt(right, number), MODEL_PT2)
        except BundleError:
            refused += 1
    assert refused > MUTANTS / 4


def test_what_another_program_saved_is_refused() -> None:
    """What PyTorch saves by itself holds the example as a pickle."""
    made, archive = torch.export.export(torch.nn.Tanh(), (torch.zeros(3),)), io.BytesIO()
    torch.export.save(made, archive)
    with pytest.raises(BundleError, match=r"got a pickle of an example. Do not open it"):
        check(archive.getvalue(), MODEL_PT2)


def test_the_example_lacks_nothing_that_pytorch_needs(right: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(right)) as members:
        assert [name for name in members.namelist() if name.endswith("sample_inputs/model.pt")]
    program = torch.export.load(io.BytesIO(right)).module()
    given = torch.ones(5, 2, 4), torch.zeros(2, 6), torch.zeros(2, 6), torch.tensor([5, 2])
    assert program(*given)[0].shape == (5, 2, 3)
