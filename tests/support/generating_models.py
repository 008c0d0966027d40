"""Models that make a sequence, or a number of outputs, of less: forecasters, decoders, an autoencoder."""

import torch
from torch import Tensor, nn

from tests.support.text_models import WORDS, H


class Forecaster(nn.Module):
    """A decoder that feeds its output back for as many time steps as it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(3, H, batch_first=True), nn.GRUCell(3, H)
        self.head = nn.Linear(H, 3)

    def forward(self, x: Tensor, horizon: int) -> Tensor:
        h, y, outputs = self.encoder(x)[1][0], x[:, -1], []
        for _ in range(horizon):
            h = self.decoder(y, h)
            y = self.head(h)
            outputs.append(y)
        return torch.stack(outputs, 1)


class Greedy(nn.Module):
    """A translator that takes the likeliest word, eight times."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(WORDS, 5), nn.Linear(H, WORDS)
        self.encoder, self.decoder = nn.GRU(5, H, batch_first=True), nn.GRU(5, H, batch_first=True)

    def forward(self, source: Tensor) -> Tensor:
        h = self.encoder(self.embed(source))[1]
        token, outputs = torch.full((source.shape[0], 1), 1), []
        for _ in range(8):
            y, h = self.decoder(self.embed(token), h)
            scores = self.head(y)
            token = scores.argmax(-1)
            outputs.append(scores)
        return torch.cat(outputs, 1)


class Generator(nn.Module):
    """A decoder that feeds its output back, begun by a latent vector alone."""

    def __init__(self) -> None:
        super().__init__()
        self.begin, self.cell, self.head = nn.Linear(5, H), nn.GRUCell(3, H), nn.Linear(H, 3)

    def forward(self, latent: Tensor) -> Tensor:
        h, y, outputs = torch.tanh(self.begin(latent)), latent.new_zeros(latent.shape[0], 3), []
        for _ in range(4):
            h = self.cell(y, h)
            y = self.head(h)
            outputs.append(y)
        return torch.stack(outputs, 1)


class Captioner(nn.Module):
    """Names what features of an image show, from a first word on."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.begin = nn.Embedding(WORDS, 4), nn.Linear(5, H)
        self.cell, self.head = nn.LSTMCell(4, H), nn.Linear(H, WORDS)

    def forward(self, image: Tensor, word: Tensor) -> dict[str, Tensor]:
        h = torch.tanh(self.begin(image))
        c, words, scores = torch.zeros_like(h), [], []
        for _ in range(5):
            h, c = self.cell(self.embed(word), (h, c))
            scores.append(self.head(h))
            word = scores[-1].argmax(-1)
            words.append(word)
        return {"words": torch.stack(words, 1), "scores": torch.stack(scores, 1)}


class Repeated(nn.Module):
    """The decoder of an autoencoder by itself: what it is given stands at each of its time steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(5, H, batch_first=True), nn.Linear(H, 3)

    def forward(self, latent: Tensor) -> Tensor:
        return self.head(self.lstm(latent.unsqueeze(1).repeat(1, 8, 1))[0])


class Autoencoder(nn.Module):
    """Begins a second net with what is left of the first, at every time step."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(4, H, batch_first=True), nn.GRU(2, H, batch_first=True)
        self.mean, self.spread, self.head = nn.Linear(H, 2), nn.Linear(H, 2), nn.Linear(H, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.encoder(x)[1][-1]
        mean, spread = self.mean(h), self.spread(h)
        y, _ = self.decoder(mean.unsqueeze(1).repeat(1, x.shape[1], 1))
        return {"x": self.head(y), "mean": mean, "spread": spread}
