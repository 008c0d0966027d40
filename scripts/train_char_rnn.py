"""Train the example model: a GRU, written from scratch, that reads English one character at a time.

The text is the reference documentation that every Python carries (pydoc_data.topics). Writes the weights to
scripts/char_rnn_weights.npz, from which scripts/build_artifacts.py makes artifacts/char_rnn. Run: make train
"""

import math
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn
from torch import Tensor, nn
from torch.nn import functional

from rnn_export.models import CharRNN, GRUScratch

WEIGHTS = Path(__file__).with_name("char_rnn_weights.npz")
HIDDEN = 128
UPDATES = 1800  # about a minute on two cores
STEPS, ROWS = 64, 32
LEARNING_RATE = 8e-3
HELD_OUT = 0.05  # share of the topics that training never sees
REPORTS = 6


def read_text() -> tuple[str, str]:
    """Give the text to train on, and the text of other topics to judge by."""
    names = sorted(topics)
    held_out = names[:: round(1 / HELD_OUT)]
    clean = {name: topics[name].encode("ascii", "ignore").decode() for name in names}
    return "\n".join(clean[name] for name in names if name not in held_out), "\n".join(
        clean[name] for name in held_out
    )


def build_model(vocabulary: str) -> CharRNN:
    """Make the net for a vocabulary: one-hot characters, a GRU, logits."""
    size = len(vocabulary)
    return CharRNN(size, GRUScratch(size, HIDDEN, size, sigma=1 / math.sqrt(HIDDEN)))


def encode(text: str, vocabulary: str) -> Tensor:
    """Turn text into token ids; characters outside the vocabulary are left out."""
    ids = {character: number for number, character in enumerate(vocabulary)}
    return torch.tensor([ids[character] for character in text if character in ids])


def perplexity(model: CharRNN, tokens: Tensor) -> float:
    """Give the perplexity per character of a text, read as rows of one long batch."""
    rows = tokens[: len(tokens) // ROWS * ROWS].view(ROWS, -1).T
    with torch.no_grad():
        logits, _ = model(rows[:-1], model.begin_state(ROWS, torch.device("cpu")))
    return math.exp(functional.cross_entropy(logits.flatten(0, 1), rows[1:].flatten()).item())


def train(model: CharRNN, tokens: Tensor, held_out: Tensor, console: Console) -> None:
    """Train with Adam on random excerpts, the learning rate falling to nothing."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=UPDATES)
    zeros = model.begin_state(ROWS, torch.device("cpu"))
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as progress:
        for update in progress.track(range(UPDATES), description="Training"):
            if update % (UPDATES // REPORTS) == 0:
                report(progress.console, update, perplexity(model, held_out))
            first = torch.randint(len(tokens) - STEPS - 1, (ROWS,))
            excerpt = tokens[first + torch.arange(STEPS + 1)[:, None]]
            logits, _ = model(excerpt[:-1], zeros)
            loss = functional.cross_entropy(logits.flatten(0, 1), excerpt[1:].flatten())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    report(console, UPDATES, perplexity(model, held_out))


def report(console: Console, update: int, value: float) -> None:
    """Print one line of the training's course."""
    console.print(f"{update:5d} updates   held-out perplexity {value:6.2f}", highlight=False)


def main() -> None:
    """Train and write the weights."""
    console = Console()
    torch.manual_seed(0)
    text, held_out = read_text()
    vocabulary = "".join(sorted(set(text)))
    console.print(
        f"{len(text):,} characters to train on, {len(held_out):,} held out, {len(vocabulary)} kinds"
    )
    model = build_model(vocabulary)
    train(model, encode(text, vocabulary), encode(held_out, vocabulary), console)
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    np.savez(WEIGHTS, vocabulary=np.array(vocabulary), **arrays)
    console.print(f"{WEIGHTS} written; run scripts/build_artifacts.py to export it")


if __name__ == "__main__":
    main()
