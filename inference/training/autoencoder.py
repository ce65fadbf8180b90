"""The picture autoencoder: a diffusers AutoencoderTiny, 8 times smaller each way, trained on CPU.

Its outermost levels have no blocks, so from the pixels to a quarter of the resolution and back it
is linear. Training folds those convolutions into one each way (`fast_encode`, `fast_decode`): the
same parameters and, away from the picture's border, the same function at a quarter of the work.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as fn

FACTOR = 8
CHANNELS = 8
WIDTH = 64


def new_autoencoder(width: int = WIDTH, channels: int = CHANNELS) -> AutoencoderTiny:
    """An untrained autoencoder: (b, 3, h, w) in [-1, 1] <-> (b, channels, h / 8, w / 8)."""
    return AutoencoderTiny(
        encoder_block_out_channels=(width,) * 4,
        decoder_block_out_channels=(width,) * 4,
        num_encoder_blocks=(0, 0, 0, 2),
        num_decoder_blocks=(3, 2, 0, 0),
        latent_channels=channels,
    )


class Trainee(nn.Module):
    """The autoencoder in training: its latents pass a batch norm, which export folds into the encoder."""

    def __init__(self, vae: AutoencoderTiny) -> None:
        super().__init__()
        self.vae = vae
        self.norm = nn.BatchNorm2d(vae.config["latent_channels"], affine=False, momentum=0.02)

    def forward(self, pictures: Tensor, noise: Tensor, exact: bool) -> Tensor:
        """Reconstruct (b, 3, h, w) in [0, 1]; `noise` (b, c, h / 8, w / 8) is added to the latents."""
        raw = self.vae.encoder(pictures * 2 - 1) if exact else fast_encode(self.vae, pictures)
        latents = self.norm(raw) + noise
        if exact:
            decoded: Tensor = self.vae.decoder(latents)
            return (decoded + 1) / 2
        return fast_decode(self.vae, latents)

    @torch.no_grad()
    def folded(self) -> AutoencoderTiny:
        """The plain autoencoder whose latents have mean 0 and variance 1 a channel, as pipelines expect."""
        vae = new_autoencoder(
            self.vae.config["encoder_block_out_channels"][0], self.vae.config["latent_channels"]
        )
        vae.load_state_dict(self.vae.state_dict())
        last = vae.encoder.layers[-1]
        mean, variance = self.norm.running_mean, self.norm.running_var
        if mean is None or variance is None:
            raise TypeError("the norm keeps no statistics")
        scale = (variance + self.norm.eps).rsqrt()
        last.weight.mul_(scale[:, None, None, None])
        last.bias.sub_(mean).mul_(scale)
        return vae.eval()


def _compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The kernel of `outer` after `inner`: (o, m, j, j), (m, c, k, k) -> (o, c, j+k-1, j+k-1)."""
    return fn.conv2d(outer, inner.transpose(0, 1).flip(2, 3), padding=inner.shape[-1] - 1)


def fast_encode(vae: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """The encoder on (b, 3, h, w) in [0, 1], its three leading convolutions run as one of stride 4."""
    first, second, third, *rest = vae.encoder.layers
    spread = third.weight.new_zeros(*third.weight.shape[:2], 5, 5)  # its taps lie two pixels apart
    spread[:, :, ::2, ::2] = third.weight
    tail = _compose(spread, second.weight)
    bias = torch.einsum("omij,m->o", tail, first.bias)
    x = fn.conv2d(pictures, _compose(tail, first.weight), bias, stride=4, padding=4)
    for layer in rest:
        x = layer(x)
    return x


def fast_decode(vae: AutoencoderTiny, latents: Tensor) -> Tensor:
    """The decoder to (b, 3, h, w) in about [0, 1], its last levels run as one convolution and a shuffle."""
    layers = list(vae.decoder.layers)
    body, tail = layers[:-5], layers[-5:]  # upsample, conv, upsample, conv, conv
    width, bias = tail[-1].weight.shape[1], tail[-1].bias
    x = torch.tanh(latents / 3) * 3
    for layer in body:
        x = layer(x)
    x = x.contiguous(memory_format=torch.channels_last)
    response = torch.zeros(width, width, 3, 3, dtype=x.dtype, device=x.device)
    response[torch.arange(width), torch.arange(width), 1, 1] = 1  # one impulse a channel
    for layer in tail[:-1]:
        response = layer(response)
    response = fn.conv2d(response, tail[-1].weight, padding=1)
    taps = response.view(width, 3, 3, 4, 3, 4).permute(1, 3, 5, 0, 2, 4).flip(4, 5)  # o, dy, dx, c, y, x
    x = fn.conv2d(x, taps.reshape(48, width, 3, 3), bias.repeat_interleave(16), padding=1)
    return fn.pixel_shuffle(x, 4)


def reconstruction_loss(made: Tensor, real: Tensor) -> Tensor:
    """L1 on pixels and on their differences, so that edges count, and a little MSE against outliers."""
    error = made - real
    return (
        error.abs().mean()
        + error.diff(dim=2).abs().mean()
        + error.diff(dim=3).abs().mean()
        + 0.2 * error.square().mean()
    )
