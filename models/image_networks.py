"""Networks that answer for whole images: a convolutional classifier and a convolutional autoencoder.

Both see squares of `side_px`. Here they are without scaling and resizing, which models/classifier.py and
models/autoencoder.py put in front.
"""

from collections.abc import Sequence

from torch import Tensor, nn

HALVINGS = 4
"""Of the autoencoder; its sides are multiples of 2 ** 4."""


class BlockCnn(nn.Module):
    """Blocks of three convolutions and a pooling, then two dense layers.

    Each block: 1 x 1, 3 x 3, 3 x 3 convolution, each with batch normalisation and ReLU, then 2 x 2 max-pooling. With
    blocks of 50, 80 and 120 filters, 224 px, 3 channels and 20 classes: 94,080 numbers behind the blocks and 5,140,470
    weights in all.
    """

    def __init__(self, in_channels: int, classes: int, side_px: int, widths: Sequence[int], hidden: int) -> None:
        """Draw the weights from torch's global generator. side_px: 2 ** len(widths) or more; rests are dropped."""
        super().__init__()
        blocks: list[nn.Module] = []
        for inputs, width in zip((in_channels, *widths[:-1]), widths, strict=True):
            for channels, side in ((inputs, 1), (width, 3), (width, 3)):
                blocks += [nn.Conv2d(channels, width, side, padding=side // 2), nn.BatchNorm2d(width), nn.ReLU(True)]
            blocks.append(nn.MaxPool2d(2))
        self.blocks = nn.Sequential(*blocks)
        self.features = widths[-1] * (side_px // 2 ** len(widths)) ** 2
        """Numbers behind the blocks."""
        self.dense = nn.Sequential(nn.Linear(self.features, hidden), nn.ReLU(True), nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits: (n, C, side, side) to (n, classes)."""
        logits: Tensor = self.dense(self.blocks(x).flatten(1))
        return logits


class ConvolutionalAutoencoder(nn.Module):
    """An image through a few numbers and back.

    Down: four times a 3 x 3 convolution (width, 2 width, 4 width, 8 width filters), ReLU and 2 x 2 max-pooling, then a
    dense layer to `bottleneck` numbers. Up: a dense layer and ReLU, four times an enlargement by 2 (nearest pixel) with
    a 3 x 3 convolution and ReLU (8, 4, 2, 1 times width filters), then a 3 x 3 convolution to the channels.
    """

    def __init__(self, in_channels: int, side_px: int, width: int, bottleneck: int) -> None:
        """Draw the weights from torch's global generator. side_px: a multiple of 16."""
        super().__init__()
        widths = [width * 2**step for step in range(HALVINGS)]
        down: list[nn.Module] = []
        for inputs, outputs in zip((in_channels, *widths[:-1]), widths, strict=True):
            down += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2)]
        self.down = nn.Sequential(*down)
        self.shape = (widths[-1], side_px // 2**HALVINGS, side_px // 2**HALVINGS)
        numbers = self.shape[0] * self.shape[1] * self.shape[2]
        self.narrow = nn.Linear(numbers, bottleneck)
        self.widen = nn.Sequential(nn.Linear(bottleneck, numbers), nn.ReLU(True))
        up: list[nn.Module] = []
        for inputs, outputs in zip((widths[-1], *reversed(widths[1:])), reversed(widths), strict=True):
            up += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(True)]
        self.up = nn.Sequential(*up)
        self.head = nn.Conv2d(width, in_channels, 3, padding=1)
        # For ReLU (He et al. 2015): without normalisation, what torch draws fades away over ten layers. Not of `narrow`
        # and `head`, which no ReLU follows: there it slows learning down (measured on small images).
        for module in (*self.down, *self.widen, *self.up):
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def encode(self, x: Tensor) -> Tensor:
        """Return the numbers of images: (n, C, side, side) to (n, bottleneck)."""
        numbers: Tensor = self.narrow(self.down(x).flatten(1))
        return numbers

    def forward(self, x: Tensor) -> Tensor:
        """Return the images that are made of the numbers alone, (n, C, side, side)."""
        image: Tensor = self.head(self.up(self.widen(self.encode(x)).unflatten(1, self.shape)))
        return image
