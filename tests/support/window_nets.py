"""Nets whose time step holds convolutions, pooling and other work on maps."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.folded import Folded


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
