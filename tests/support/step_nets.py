"""Nets whose time step holds what people write there beside products and activations, one net each."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.folded import Folded, StepNet
from tests.support.memory_nets import (
    BlockHeads,
    DeltaRule,
    LinearAttention,
    ManySlots,
    MemoryAttention,
    MultiHead,
    RingBuffer,
    Scattered,
    Sparse,
    StateSpace,
    Writes,
    WrittenBuffer,
)
from tests.support.window_nets import (
    CausalBuffer,
    ConvGru,
    ConvLstm,
    DilatedBuffer,
    EveryConvolution1d,
    EveryConvolution2d,
    EveryPooling,
    FrameEncoder,
    NormalisedMap,
    Padded,
    Pooled,
    Shuffled,
    SoftmaxOfAMap,
    Unfolded,
    Upsampled,
    UpsampledImages,
)


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
