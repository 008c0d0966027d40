"""Nets whose time step holds what people write there beside products and activations, one net each."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STEPS, ROWS = 4, 3


class Folded(nn.Module):
    """A loop over time around a ``step``, from ``x`` and the states to ``y`` and the states."""

    def step(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Compute a time step."""
        raise NotImplementedError

    def forward(self, inputs: Tensor, state: Tensor | tuple[Tensor, ...]) -> tuple[object, ...]:
        """Run over time; a state alone is no tuple."""
        outputs, alone = [], isinstance(state, Tensor)
        leaves = (state,) if alone else state
        for x in inputs:
            y, *leaves = self.step(x, *leaves)
            outputs.append(y)
        return torch.stack(outputs), leaves[0] if alone else tuple(leaves)


@dataclass(frozen=True)
class StepNet:
    """A net; the sizes of ``x`` and of each state for one row. With ``tokens``, x are ids below that."""

    kind: type[Folded]
    x: tuple[int, ...]
    states: tuple[tuple[int, ...], ...]
    tokens: int = 0

    def module(self) -> nn.Module:
        """Make the net, always the same."""
        torch.manual_seed(0)
        net = self.kind().eval()
        with torch.no_grad():
            for value in net.buffers():
                if value.is_floating_point():
                    value.copy_(torch.rand_like(value) + 0.5)  # as statistics are after training
        return net

    def example(self, steps: int = STEPS, rows: int = ROWS) -> tuple[Tensor | tuple[Tensor, ...], ...]:
        """Give inputs and state."""
        random = torch.Generator().manual_seed(1)
        shape = (steps, rows, *self.x)
        if self.tokens:
            inputs = torch.randint(self.tokens, shape, generator=random)
        else:
            inputs = torch.randn(shape, generator=random)
        state = tuple(torch.randn(rows, *sizes, generator=random) * 0.5 for sizes in self.states)
        return inputs, state[0] if len(state) == 1 else state


class ConvLstm(Folded):
    """The state is a map of features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 + 4, 16, 3, padding=1)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, h, c


class ConvGru(Folded):
    """Two convolutions of other sizes, dilated."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.new = (
            nn.Conv2d(2 + 3, 6, (3, 5), padding=(1, 2)),
            nn.Conv2d(5, 3, 3, padding=2, dilation=2),
        )

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        z, r = torch.sigmoid(self.gates(torch.cat([x, h], 1))).chunk(2, 1)
        n = torch.tanh(self.new(torch.cat([x, r * h], 1)))
        h = (1 - z) * h + z * n
        return h, h


class FrameEncoder(Folded):
    """An image of each time step: convolutions with strides and groups, pooling, a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 8, 3, groups=2)
        self.norm, self.cell = nn.BatchNorm2d(8), nn.GRUCell(8, 5)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        y = functional.max_pool2d(torch.relu(self.norm(self.two(torch.relu(self.one(x))))), 2, padding=1)
        h = self.cell(functional.adaptive_avg_pool2d(y, 1).flatten(1), h)
        return h, h


class Pooled(Folded):
    """Pooling over a window of features."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6 + 5 + 3, 5)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        average = functional.avg_pool1d(x[:, None], 2, stride=1, padding=1).flatten(1)[:, :6]
        largest = functional.max_pool1d(x[:, None], 2).flatten(1)
        h = torch.tanh(self.linear(torch.cat([average, largest, h], 1)))
        return h, h


class CausalBuffer(Folded):
    """A causal convolution over the last frames, which the state holds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv1d(4, 6, 3), nn.Linear(6, 3)

    def step(self, x: Tensor, buffer: Tensor) -> tuple[Tensor, ...]:
        full = torch.cat([buffer, x[:, :, None]], 2)
        return self.out(torch.relu(self.conv(full)[:, :, 0])), full[:, :, 1:]


class DilatedBuffer(Folded):
    """A depthwise dilated convolution over the last frames, as of a TCN, and a pointwise one."""

    def __init__(self) -> None:
        super().__init__()
        self.depth, self.point = nn.Conv1d(4, 4, 3, dilation=2, groups=4), nn.Conv1d(4, 4, 1)

    def step(self, x: Tensor, buffer: Tensor) -> tuple[Tensor, ...]:
        full = torch.cat([buffer, x[:, :, None]], -1)
        y = functional.gelu(self.point(functional.elu(self.depth(full))))
        return x + y.squeeze(-1), full[..., 1:]


class Upsampled(Folded):
    """A transposed convolution, of a decoder of spectra."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.cell = nn.ConvTranspose1d(3, 2, 4, stride=2, padding=1), nn.GRUCell(4, 12)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = self.cell(x, h)
        return self.up(h.view(-1, 3, 4)), h


class UpsampledImages(Folded):
    """The same on images."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.cell = (
            nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1, groups=1),
            nn.GRUCell(4, 12),
        )

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = self.cell(x, h)
        return functional.interpolate(self.up(h.view(-1, 2, 2, 3)), scale_factor=2), h


class LinearAttention(Folded):
    """A matrix for each head as the state."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 6) for _ in range(3))

    def step(self, x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        heads = [each(x).view(-1, 2, 3) for each in (self.q, self.k, self.v)]
        s = 0.9 * s + torch.einsum("bhi,bhj->bhij", heads[1], heads[2])
        return torch.einsum("bhi,bhij->bhj", heads[0], s).flatten(1), s


class StateSpace(Folded):
    """A diagonal state space for each feature, selective as in Mamba."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.rand(4, 3))
        self.dt, self.bc = nn.Linear(4, 4), nn.Linear(4, 6)

    def step(self, x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        d, (b, c) = functional.softplus(self.dt(x)), self.bc(x).chunk(2, -1)
        s = torch.exp(torch.einsum("bd,dn->bdn", d, -self.a)) * s + d[..., None] * b[:, None] * x[..., None]
        return torch.einsum("bdn,bn->bd", s, c), s


class BlockHeads(Folded):
    """Weights for each head: a product over blocks of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.randn(2, 3, 3) * 0.4)
        self.w = nn.Parameter(torch.randn(4, 6))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(torch.einsum("bhi,hij->bhj", h.view(-1, 2, 3), self.u).flatten(1) + x @ self.w)
        return h, h


class MemoryAttention(Folded):
    """Attention over slots of a memory, in the state; the oldest slot goes."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(4, 4), nn.Linear(4, 4)

    def step(self, x: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        memory = torch.roll(memory, -1, 1)
        memory[:, -1] = x
        weights = torch.softmax((self.q(x)[:, None] @ self.k(memory).transpose(1, 2)) / 2, -1)
        return (weights @ memory).squeeze(1), memory


class WrittenBuffer(Folded):
    """A buffer that is shifted, and written at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 3)

    def step(self, x: Tensor, buffer: Tensor) -> tuple[Tensor, ...]:
        buffer = torch.cat([buffer[:, 1:], torch.zeros_like(buffer[:, :1])], 1)
        buffer[:, -1] = x
        return self.linear(buffer.flatten(1)), buffer


class Scattered(Folded):
    """Numbers added up by constant places."""

    def __init__(self) -> None:
        super().__init__()
        self.places = torch.tensor([0, 2, 2, 1])

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = 0.5 * h.index_add(1, self.places, x)
        return h, h


class Sparse(Folded):
    """The largest units alone are active."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4 + 6, 6)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        y = self.linear(torch.cat([x, h], 1))
        least = torch.topk(y, 2).values[:, -1:]
        h = torch.where(y >= least, y, 0.0).tanh()
        return h, h


class SortedFeatures(Folded):
    """Order statistics of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 5)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(self.linear(x) + 0.5 * torch.sort(h, -1).values)
        return h, h


class ChosenExpert(Folded):
    """A gate chooses one of several experts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(4, 3), nn.Linear(4, 15)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        chosen = self.gate(x).argmax(-1)
        mask = functional.one_hot(chosen, 3).float()
        h = torch.tanh(0.5 * h + torch.einsum("be,bei->bi", mask, self.experts(x).view(-1, 3, 5)))
        return h, h


class GatheredExpert(Folded):
    """The same by an index."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(4, 3), nn.Linear(4, 15)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        chosen = self.gate(x).argmax(-1)
        picked = self.experts(x).view(-1, 3, 5).gather(1, chosen[:, None, None].expand(-1, 1, 5))
        h = torch.tanh(0.5 * h + picked[:, 0])
        return h, h


class BagOfTokens(Folded):
    """Several tokens at each time step, as bags of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.bags = nn.ModuleList(nn.EmbeddingBag(11, 4, mode=mode) for mode in ("mean", "sum", "max"))
        self.cell = nn.GRUCell(12, 5)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = self.cell(torch.cat([bag(x) for bag in self.bags], 1), h)
        return h, h


class SeveralTokens(Folded):
    """An embedding for each of several tokens, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.cell = nn.Embedding(11, 3), nn.GRUCell(6, 5)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = self.cell(self.table(x).flatten(1), h)
        return h, h


class OwnOneHot(Folded):
    """One-hot tokens, and a phase that wraps around."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(7 + 3, 3)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = self.linear(torch.cat([functional.one_hot(x % 7, 7).float(), h], 1)) % 1.0
        return h, h


class Hyperbolic(Folded):
    """Hyperbolic functions and their inverses."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4 + 3, 3)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        y = self.linear(torch.cat([x, h], 1))
        h = (
            torch.asinh(y)
            + torch.atanh(0.5 * torch.tanh(y))
            - torch.acosh(1 + y.abs())
            + torch.sinh(y) / torch.cosh(y)
        )
        return h, h


class Angles(Folded):
    """Angles and their functions."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4 + 3, 3)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        y = self.linear(torch.cat([x, h], 1))
        h = (
            torch.atan(y)
            + torch.asin(0.9 * torch.tanh(y))
            - torch.acos(0.5 * torch.sin(y))
            + torch.atan2(y, h)
        )
        return h, h


class SoftmaxOfAMap(Folded):
    """A softmax over both axes of a map, and reductions over several axes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        y = self.conv(x + h)
        weights = torch.softmax(y.flatten(2), -1).view_as(y)
        h = weights * y + x.mean((2, 3), keepdim=True)
        return h.sum((2, 3)), h


class NormalisedMap(Folded):
    """Norms of maps of features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.group, self.inst = (
            nn.Conv2d(2, 4, 1),
            nn.GroupNorm(2, 4),
            nn.InstanceNorm2d(4, affine=True),
        )

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(self.inst(self.group(self.conv(x)) + h))
        return h, h


class Cumulative(Folded):
    """Running sums over features, as of ON-LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4 + 5, 5)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        y = self.linear(torch.cat([x, h], 1))
        h = torch.tanh(torch.softmax(y, -1).cumsum(-1) * h)
        return h, h


class Triangular(Folded):
    """Parts of a matrix, and its diagonal."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 9)

    def step(self, x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        s = 0.5 * s + torch.tril(self.linear(x).view(-1, 3, 3))
        return s.diagonal(dim1=1, dim2=2), s


class DeltaRule(Folded):
    """Fast weights: products of computed matrices for each head."""

    def __init__(self) -> None:
        super().__init__()
        self.k, self.v, self.beta = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(4, 2)

    def step(self, x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        key = functional.normalize(self.k(x).view(-1, 2, 3), dim=-1)
        old = (s @ key[..., None]).squeeze(-1)
        new = torch.sigmoid(self.beta(x))[..., None] * (self.v(x).view(-1, 2, 3) - old)
        s = s + new[..., None] * key[..., None, :]
        return (s @ key[..., None]).flatten(1), s


class MultiHead(Folded):
    """Attention over the heads of one time step."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def step(self, x: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        memory = torch.cat([memory[:, 1:], x[:, None]], 1)
        y, _ = self.attention(x[:, None], memory, memory, need_weights=False)
        return y[:, 0], memory


class ManySlots(Folded):
    """Attention over many slots: one product of all of them with a matrix, not one for each."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(18, 2, batch_first=True)

    def step(self, x: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        memory = torch.cat([memory[:, 1:], x[:, None]], 1)
        y, _ = self.attention(x[:, None], memory, memory, need_weights=False)
        return y[:, 0], memory


class Spiking(Folded):
    """A threshold, a reset and a counter of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def step(self, x: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        v = 0.9 * v + self.linear(x)
        fired = v > 0.5
        v = torch.where(fired, v - 0.5, v)
        return fired.float(), v


class Unfolded(Folded):
    """Windows of features, unfolded."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(self.linear(x.unfold(1, 3, 1)).flatten(1) + 0.5 * h)
        return h, h


class Padded(Folded):
    """Padding of several modes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        y = self.conv(functional.pad(x, (1, 1))[:, None])[:, 0]
        h = torch.tanh(functional.pad(y[:, None], (1, 1), mode="reflect")[:, 0, 2:-2] + h)
        return h, h


class Bilinear(Folded):
    """A bilinear form."""

    def __init__(self) -> None:
        super().__init__()
        self.form = nn.Bilinear(4, 3, 3)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(self.form(x, h))
        return h, h


class Distances(Folded):
    """Distances to learned centres, and the nearest one."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(5, 4))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        far = ((x + h)[:, None] - self.centres).norm(dim=-1)
        h = self.centres[far.argmin(-1)] * 0.5
        return torch.cat([far, h], 1), h


class Shuffled(Folded):
    """Pixels to channels and back."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(functional.pixel_shuffle(self.conv(functional.pixel_unshuffle(x, 2)), 2) + h)
        return h, h


class Every(Folded):
    """Several modules that read the same map, side by side."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.several = nn.ModuleList(modules)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(x + 0.5 * h)
        return torch.cat([module(h).flatten(1) for module in self.several], 1), h


class EveryConvolution1d(Every):
    """Kernels, strides, dilations, groups and paddings along one axis."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(4, 3, 3),
            nn.Conv1d(4, 6, 5, stride=3, padding=4, groups=2, bias=False),
            nn.Conv1d(4, 8, 3, dilation=3, padding="same", groups=4),
            nn.Conv1d(4, 20, 1),
            nn.Conv1d(4, 2, 9),
            nn.ConvTranspose1d(4, 3, 3, stride=2, padding=2, output_padding=1),
            nn.ConvTranspose1d(4, 6, 4, stride=3, dilation=2, groups=2, bias=False),
            nn.ConvTranspose1d(4, 4, 3, padding=4, groups=4),
        )


class EveryConvolution2d(Every):
    """The same along two axes."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(4, 3, 3),
            nn.Conv2d(4, 6, (1, 4), stride=(2, 3), padding=(0, 3), groups=2, bias=False),
            nn.Conv2d(4, 17, 3, dilation=(1, 2), padding="same"),
            nn.Conv2d(4, 8, (2, 3), padding=1, groups=4),
            nn.Conv2d(4, 70, 1),
            nn.Conv2d(4, 2, (5, 6)),
            nn.ConvTranspose2d(4, 3, (3, 2), stride=2, padding=(1, 0), output_padding=(1, 0)),
            nn.ConvTranspose2d(4, 4, 3, groups=2, dilation=2),
        )


class EveryPooling(Every):
    """The largest and the mean of windows."""

    def __init__(self) -> None:
        super().__init__(
            nn.MaxPool2d(2),
            nn.MaxPool2d((3, 2), stride=1, padding=1, dilation=(1, 2)),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.AvgPool2d(2),
            nn.AvgPool2d(3, stride=2, padding=1),
            nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
            nn.AvgPool2d(2, ceil_mode=True),
            nn.AdaptiveAvgPool2d(1),
            nn.AdaptiveMaxPool2d(1),
            nn.Upsample(scale_factor=2),
            nn.Upsample(scale_factor=(2, 3), mode="bilinear"),
            nn.Upsample(size=(7, 4), mode="bilinear", align_corners=True),
            nn.ZeroPad2d((1, -1, 2, 0)),
            nn.ReflectionPad2d((1, 2, 0, 1)),
            nn.ReplicationPad2d(2),
            nn.CircularPad2d((2, 1, 1, 0)),
        )


class Writes(Folded):
    """Numbers written to constant places, added up there, and taken out by computed ones."""

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = h.clone()
        h[:, 1:, ::2] = x[:, None, :2]
        h[:, [2, 0]] = h[:, [0, 1]] * 0.5
        h = torch.index_add(h, 2, torch.tensor([3, 0, 3]), x[:, None, :3].expand(-1, 3, -1))
        h = h.scatter(2, torch.tensor([[[1], [0], [2]]]).expand(h.shape[0], -1, -1), 0.25)
        most, places = h.topk(2, 1, largest=False)
        order = torch.argsort(x, -1, descending=True)
        table = torch.arange(8.0).view(4, 2)[order].flatten(1)
        near = torch.gather(h, 2, order[:, None, :2].expand(-1, 3, -1)).flatten(1)
        counts = (h > 0).sum((1, 2)).to(x.dtype)[:, None]
        return torch.cat([most.flatten(1), places.flatten(1).to(x.dtype), table, near, counts], 1), h.tanh()


class Sums(Folded):
    """Sums of products of every form."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 4, 2))
        self.v = nn.Parameter(torch.randn(4))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        h = torch.tanh(h + x[:, None])
        parts = [
            torch.einsum("bi,i->b", x, self.v)[:, None],
            torch.einsum("bij,ijk->bk", h, self.w),
            torch.einsum("ijk,b...j->b...ik", self.w, h),
            torch.einsum("bij,bkj->bik", h, h),
            torch.einsum("bij,bkj,bk->bi", h, h, h[:, :, 0]),
            torch.einsum("bii->bi", h[:, :, :3]),
            torch.einsum("bij->bj", h),
            torch.einsum("bi,bj->bij", x, x),
            (h @ self.v)[:, :, None],
            (self.v @ x[:, :, None]).expand(-1, 2),
        ]
        return torch.cat([part.flatten(1) for part in parts], 1), h


class RingBuffer(Folded):
    """A buffer that each row writes and reads at a place of its own, which a counter gives."""

    def step(self, x: Tensor, buffer: Tensor, count: Tensor) -> tuple[Tensor, ...]:
        rows, place = torch.arange(x.shape[0]), count[:, 0].long() % 5
        buffer = buffer.clone()
        buffer[rows, place] = x
        return torch.cat([buffer[rows, place - 3], buffer.mean(1)], 1), buffer, count + 1


class Active(Folded):
    """Units by computed places: the largest one alone is active, the weak ones are reset."""

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        active = torch.zeros_like(x).scatter_(1, x.argmax(-1, keepdim=True), 1.0)
        strong, places = h.abs().topk(2, -1)
        h = h.scatter(1, places, strong * 0.5) + active * x
        return h.scatter_add(1, places, strong), h


class Spectrum(Folded):
    """A mask on the spectrum of a frame."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(5, 5)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        spectrum = torch.fft.rfft(x * torch.hann_window(8))
        h = self.cell(torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-6), h)
        return torch.cat([spectrum.real * h.sigmoid(), spectrum.imag * h.sigmoid()], 1), h


class WholeNumbers(Folded):
    """Counts of events, and what is computed of them."""

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        count = (x > 0).long().sum(-1, keepdim=True)
        level = (count * 3 + 1).max(-1, keepdim=True).values // 2 - count % 3
        h = torch.where((x > 0.5).any(-1, keepdim=True), torch.tanh(h + x * level.to(x.dtype)), 0.5 * h)
        return torch.logcumsumexp(h, -1), h


STEP_NETS: dict[str, StepNet] = {
    "active": StepNet(Active, (4,), ((4,),)),
    "angles": StepNet(Angles, (4,), ((3,),)),
    "bag of tokens": StepNet(BagOfTokens, (3,), ((5,),), 11),
    "bilinear": StepNet(Bilinear, (4,), ((3,),)),
    "block heads": StepNet(BlockHeads, (4,), ((6,),)),
    "causal buffer": StepNet(CausalBuffer, (4,), ((4, 2),)),
    "chosen expert": StepNet(ChosenExpert, (4,), ((5,),)),
    "conv GRU": StepNet(ConvGru, (2, 6, 5), ((3, 6, 5),)),
    "conv LSTM": StepNet(ConvLstm, (2, 6, 5), ((4, 6, 5), (4, 6, 5))),
    "cumulative": StepNet(Cumulative, (4,), ((5,),)),
    "delta rule": StepNet(DeltaRule, (4,), ((2, 3, 3),)),
    "dilated buffer": StepNet(DilatedBuffer, (4,), ((4, 4),)),
    "distances": StepNet(Distances, (4,), ((4,),)),
    "every convolution 1d": StepNet(EveryConvolution1d, (4, 9), ((4, 9),)),
    "every convolution 2d": StepNet(EveryConvolution2d, (4, 5, 6), ((4, 5, 6),)),
    "every pooling": StepNet(EveryPooling, (2, 5, 4), ((2, 5, 4),)),
    "frame encoder": StepNet(FrameEncoder, (1, 10, 9), ((5,),)),
    "gathered expert": StepNet(GatheredExpert, (4,), ((5,),)),
    "hyperbolic": StepNet(Hyperbolic, (4,), ((3,),)),
    "linear attention": StepNet(LinearAttention, (4,), ((2, 3, 3),)),
    "many slots": StepNet(ManySlots, (18,), ((20, 18),)),
    "memory attention": StepNet(MemoryAttention, (4,), ((5, 4),)),
    "multi-head attention": StepNet(MultiHead, (4,), ((5, 4),)),
    "normalised map": StepNet(NormalisedMap, (2, 3, 5), ((4, 3, 5),)),
    "own one-hot": StepNet(OwnOneHot, (), ((3,),), 20),
    "padded": StepNet(Padded, (4,), ((4,),)),
    "pooled": StepNet(Pooled, (6,), ((5,),)),
    "ring buffer": StepNet(RingBuffer, (4,), ((5, 4), (1,))),
    "scattered": StepNet(Scattered, (4,), ((4,),)),
    "several tokens": StepNet(SeveralTokens, (2,), ((5,),), 11),
    "shuffled": StepNet(Shuffled, (1, 6, 4), ((1, 6, 4),)),
    "softmax of a map": StepNet(SoftmaxOfAMap, (2, 3, 5), ((2, 3, 5),)),
    "sorted": StepNet(SortedFeatures, (4,), ((5,),)),
    "sparse": StepNet(Sparse, (4,), ((6,),)),
    "spectrum": StepNet(Spectrum, (8,), ((5,),)),
    "spiking": StepNet(Spiking, (4,), ((3,),)),
    "state space": StepNet(StateSpace, (4,), ((4, 3),)),
    "sums": StepNet(Sums, (4,), ((3, 4),)),
    "triangular": StepNet(Triangular, (4,), ((3, 3),)),
    "unfolded": StepNet(Unfolded, (6,), ((8,),)),
    "upsampled": StepNet(Upsampled, (4,), ((12,),)),
    "upsampled images": StepNet(UpsampledImages, (4,), ((12,),)),
    "writes": StepNet(Writes, (4,), ((3, 4),)),
    "whole numbers": StepNet(WholeNumbers, (4,), ((4,),)),
    "written buffer": StepNet(WrittenBuffer, (4,), ((3, 4),)),
}
