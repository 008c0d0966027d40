"""Nets of control, speech, images, text and neuroscience, in the words and styles of each field."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

R2D2_HIDDEN, ACTIONS, VOCABULARY = 8, 4, 25


class R2D2(nn.Module):
    """A recurrent Q-network: screens, last actions, rewards and ends of episodes, each an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
        self.core = nn.LSTM(4 * 2 * 2 + ACTIONS + 1, R2D2_HIDDEN)
        self.adv, self.val = nn.Linear(R2D2_HIDDEN, ACTIONS), nn.Linear(R2D2_HIDDEN, 1)

    def forward(self, obs: Tensor, prev_action: Tensor, reward: Tensor, done: Tensor, core_state: Any) -> Any:
        T, B, *_ = obs.shape
        x = self.body(torch.flatten(obs, 0, 1).float() / 255.0).view(T * B, -1)
        one_hot = functional.one_hot(prev_action.view(T * B), ACTIONS).float()
        reward = torch.clamp(reward, -1, 1).view(T * B, 1)
        core_input = torch.cat([x, reward, one_hot], dim=-1).view(T, B, -1)
        outs = []
        for inp, nd in zip(core_input.unbind(), (~done).float().unbind(), strict=True):
            core_state = tuple(nd.view(1, -1, 1) * s for s in core_state)
            out, core_state = self.core(inp.unsqueeze(0), core_state)
            outs.append(out)
        y = torch.flatten(torch.cat(outs), 0, 1)
        adv, val = self.adv(y), self.val(y)
        q = (val + adv - adv.mean(-1, keepdim=True)).view(T, B, -1)
        return q, q.argmax(-1), core_state


class ShowAttendAndTell(nn.Module):
    """A caption of an image, whose features ``[B, C, H, W]`` it attends to; it begins with what they are."""

    def __init__(self, enc: int = 6, emb: int = 5, dec: int = 7) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, emb)
        self.enc_att, self.dec_att, self.full_att = nn.Linear(enc, 8), nn.Linear(dec, 8), nn.Linear(8, 1)
        self.init_h, self.init_c, self.f_beta = nn.Linear(enc, dec), nn.Linear(enc, dec), nn.Linear(dec, enc)
        self.decode_step, self.fc = nn.LSTMCell(emb + enc, dec), nn.Linear(dec, VOCABULARY)

    def forward(self, feature_map: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        enc = feature_map.flatten(2).transpose(1, 2)
        h, c = self.init_h(enc.mean(dim=1)), self.init_c(enc.mean(dim=1))
        emb = self.embedding(captions)
        predictions, alphas = [], []
        for t in range(captions.size(1)):
            att = self.full_att(torch.relu(self.enc_att(enc) + self.dec_att(h).unsqueeze(1))).squeeze(2)
            alpha = functional.softmax(att, dim=1)
            awe = torch.sigmoid(self.f_beta(h)) * (enc * alpha.unsqueeze(2)).sum(dim=1)
            h, c = self.decode_step(torch.cat([emb[:, t], awe], dim=1), (h, c))
            predictions.append(self.fc(h))
            alphas.append(alpha)
        return torch.stack(predictions, 1), torch.stack(alphas, 1)


class DualMicrophone(nn.Module):
    """A complex mask on a spectrum ``[B, C, T, F]``: time is neither first nor last."""

    def __init__(self, bins: int = 9, hid: int = 10) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, (1, 3), padding=(0, 1)), nn.LayerNorm(bins)
        self.act, self.rnn, self.fc = nn.PReLU(4), nn.GRU(4 * bins, hid, batch_first=True), nn.Linear(hid, 18)

    def forward(self, spec: Tensor) -> Tensor:
        B, _, T, bins = spec.shape
        z = self.act(self.norm(self.conv(spec)))
        z, _ = self.rnn(z.transpose(1, 2).reshape(B, T, -1))
        m = torch.tanh(self.fc(z)).view(B, T, 2, bins).permute(0, 2, 1, 3)
        re = spec[:, 0] * m[:, 0] - spec[:, 1] * m[:, 1]
        im = spec[:, 0] * m[:, 1] + spec[:, 1] * m[:, 0]
        return torch.stack([re, im], 1)


class RateNetwork(nn.Module):
    """Firing rates of neurons: features first, ``[N, trials, T]``, time last; the batch is between them."""

    def __init__(self, n: int = 6, n_in: int = 3) -> None:
        super().__init__()
        self.J, self.W = nn.Parameter(torch.randn(n, n) / n**0.5), nn.Parameter(torch.randn(n, n_in))
        self.b, self.readout = nn.Parameter(torch.zeros(n, 1)), nn.Parameter(torch.randn(2, n) * 0.3)
        self.alpha = 0.2

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.zeros(self.J.shape[0], u.shape[1], device=u.device)
        rates = []
        for t in range(u.shape[-1]):
            drive = self.J @ torch.tanh(x) + self.W @ u[:, :, t] + self.b
            x = (1 - self.alpha) * x + self.alpha * drive
            rates.append(torch.tanh(x))
        r = torch.stack(rates, -1)
        return torch.einsum("on,nbt->obt", self.readout, r), r


class LanguageModel(nn.Module):
    """Keeps tuples in a list in a dict, a counter of words, and a flag that the sentence has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.out = nn.Embedding(20, 8), nn.Linear(8, 20)
        self.layers = nn.ModuleList([nn.LSTMCell(8, 8), nn.LSTMCell(8, 8)])

    def forward(self, tokens: Tensor, state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        layers, step, eos = list(state["layers"]), state["step"], state["eos"]
        logits, feats = [], []
        for tok in tokens.T:
            x, own = self.emb(tok), []
            for i, cell in enumerate(self.layers):
                h, c = cell(x, layers[i])
                layers[i] = (h, c)
                own.append(h)
                x = x + h
            eos = eos | tok.eq(2)
            step = step + (~eos).long()
            logits.append(self.out(x).masked_fill(eos[:, None], 0.0))
            feats.append(torch.stack(own, 1))
        outputs = {"logits": torch.stack(logits, 1), "all_layers": torch.stack(feats, 1)}
        return outputs, {"layers": layers, "step": step, "eos": eos}


class InPlace(nn.Module):
    """Writes its new states into the list that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.GRUCell(3, 5), nn.GRUCell(5, 5)])

    def forward(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        ys = []
        for t in range(x.size(1)):
            z = x[:, t]
            for i, c in enumerate(self.cells):
                states[i] = c(z, states[i])
                z = states[i]
            ys.append(z)
        return torch.stack(ys, 1), states


def of_r2d2(steps: int, batch: int) -> tuple[Any, ...]:
    state = (torch.zeros(1, batch, R2D2_HIDDEN), torch.zeros(1, batch, R2D2_HIDDEN))
    screens, actions = torch.randint(255, (steps, batch, 3, 9, 9)), torch.randint(ACTIONS, (steps, batch))
    return screens.float(), actions, torch.randn(steps, batch), torch.rand(steps, batch) > 0.8, state


def of_captions(steps: int, batch: int) -> tuple[Any, ...]:
    return torch.randn(batch, 6, 3, 4), torch.randint(VOCABULARY, (batch, steps))


def of_language(steps: int, batch: int) -> tuple[Any, ...]:
    layers = [(torch.zeros(batch, 8), torch.zeros(batch, 8)) for _ in range(2)]
    step, eos = torch.zeros(batch, dtype=torch.long), torch.zeros(batch, dtype=torch.bool)
    return torch.randint(20, (batch, steps)), {"layers": layers, "step": step, "eos": eos}


def of_lists(steps: int, batch: int) -> tuple[Any, ...]:
    return torch.randn(batch, steps, 3), [torch.zeros(batch, 5), torch.zeros(batch, 5)]
