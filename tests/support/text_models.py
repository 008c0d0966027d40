"""Models of text: words with padding, rows of several lengths."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

WORDS, H = 30, 6


class Tagger(nn.Module):
    """A label for each word, of both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, 8)
        self.lstm = nn.LSTM(8, H, batch_first=True, bidirectional=True)
        self.head, self.attention = nn.Linear(2 * H, 5), nn.Linear(2 * H, 1)

    def read(self, tokens: Tensor) -> Tensor:
        return self.lstm(self.embed(tokens))[0]

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.log_softmax(self.head(self.read(tokens)), -1)


class MeanPooling(Tagger):
    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.read(tokens).mean(1))


class MaxPooling(Tagger):
    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.read(tokens).max(dim=1).values)


class AttentionPooling(Tagger):
    def forward(self, tokens: Tensor) -> Tensor:
        y = self.read(tokens)
        return self.head((torch.softmax(self.attention(y), 1) * y).sum(1))


class LastPooling(Tagger):
    def forward(self, tokens: Tensor) -> Tensor:
        _, (h, _) = self.lstm(self.embed(tokens))
        return self.head(torch.cat([h[-2], h[-1]], 1))


class MaskedMean(Tagger):
    """Leaves padding out, which it sees by its id."""

    def forward(self, tokens: Tensor) -> Tensor:
        mask = (tokens != 0).float().unsqueeze(-1)
        return self.head((self.read(tokens) * mask).sum(1) / mask.sum(1).clamp(min=1))


class PackedByPadding(Tagger):
    """Packs by the number of words that are no padding."""

    def forward(self, tokens: Tensor) -> Tensor:
        lengths = (tokens != 0).sum(1).cpu()
        packed = pack_padded_sequence(self.embed(tokens), lengths, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1])
        return self.head(y)


class PackedByMask(nn.Module):
    """Packs by a mask, which the outputs are multiplied with; a row of padding alone cannot be packed."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(4, H, 2, batch_first=True, bidirectional=True, nonlinearity="relu")
        self.head = nn.Linear(2 * H, 2)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        lengths = mask.long().sum(1)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, h = self.rnn(packed)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
        return self.head((y * mask.unsqueeze(-1)).sum(1) / lengths.unsqueeze(1)), torch.cat([h[-2], h[-1]], 1)


class Sorted(nn.Module):
    """Sorts the rows by their lengths, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, H, batch_first=True, bidirectional=True), nn.Linear(2 * H, 5)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        lengths, order = lengths.sort(descending=True)
        packed = pack_padded_sequence(x[order], lengths.cpu(), batch_first=True)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        return self.head(y[order.sort()[1]])


class LastOfPacked(nn.Module):
    """Reads the final state of a packed sequence alone."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(4, H, batch_first=True), nn.Linear(H, 5)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.head(self.gru(packed)[1].squeeze(0))


class Gathered(LastOfPacked):
    """Gathers the output of the last valid time step."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y = self.gru(x)[0]
        place = (lengths - 1).view(-1, 1, 1).expand(-1, 1, y.shape[2])
        return self.head(y.gather(1, place).squeeze(1))
