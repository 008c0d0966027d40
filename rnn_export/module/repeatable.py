"""Is a module a function of its arguments, to the last bits of float64?"""

import torch

from rnn_export.module import eager
from rnn_export.module.copying import copied
from rnn_export.module.purity import check_agreement
from rnn_export.module.subject import Subject


def check_repeatable(subject: Subject) -> None:
    """Run a module twice with the same arguments, in float64; the last bits alone may differ.

    Raises:
        ModelError: the results differ.
    """
    run = eager.start(subject, torch.float64)
    arguments = [tensor.numpy() for tensor in subject.arguments]
    model = copied(subject.model)
    flat = subject.flat(model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        one, two = (list(map(torch.from_numpy, run(*arguments))) for _ in range(2))
        check_agreement(
            one,
            two,
            getattr(model, "original", model),
            lambda: flat(*subject.arguments),
            lambda: flat(*(each.flip(0) for each in subject.inputs), *subject.state),
        )
