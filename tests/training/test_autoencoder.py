"""The folded convolutions are the plain autoencoder's, and export keeps its latents normalised."""

from __future__ import annotations

import torch

from inference.training.autoencoder import (
    CHANNELS,
    FACTOR,
    Trainee,
    fast_decode,
    fast_encode,
    new_autoencoder,
)


def test_the_folded_encoder_equals_the_encoder_away_from_the_border() -> None:
    """Only the padding differs."""
    torch.manual_seed(1)
    vae, pictures = new_autoencoder(16), torch.rand(1, 3, 224, 224)
    plain, folded = vae.encoder(pictures * 2 - 1), fast_encode(vae, pictures)
    assert plain.shape == (1, CHANNELS, 224 // FACTOR, 224 // FACTOR)
    assert torch.allclose(plain[:, :, 12:-12, 12:-12], folded[:, :, 12:-12, 12:-12], atol=1e-5)


def test_the_folded_decoder_equals_the_decoder_away_from_the_border() -> None:
    """Three convolutions and two upsamplings are one convolution and a pixel shuffle."""
    torch.manual_seed(2)
    vae, latents = new_autoencoder(16), torch.randn(1, CHANNELS, 16, 16)
    plain, folded = (vae.decoder(latents) + 1) / 2, fast_decode(vae, latents)
    assert torch.allclose(plain[:, :, 8:-8, 8:-8], folded[:, :, 8:-8, 8:-8], atol=1e-5)


def test_folding_the_norm_keeps_the_function() -> None:
    """The shipped encoder gives what training's encoder and norm gave together."""
    torch.manual_seed(3)
    trainee = Trainee(new_autoencoder(16))
    pictures = torch.rand(2, 3, 32, 32)
    trainee(pictures, torch.zeros(1), exact=True)
    trainee.eval()
    with torch.no_grad():
        wanted = trainee.norm(trainee.vae.encoder(pictures * 2 - 1))
        assert torch.allclose(trainee.folded().encoder(pictures * 2 - 1), wanted, atol=1e-4)
