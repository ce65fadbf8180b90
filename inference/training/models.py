"""The three networks' shapes, and the scheduler they are made for."""

from __future__ import annotations

from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from inference.training.autoencoder import CHANNELS
from inference.training.tokenizer import LENGTH

TEXT_WIDTH = 256
READING_LAYERS, LOOKUP_LAYERS = 3, 3


def new_text_encoder(
    tokenizer: CLIPTokenizer, width: int = TEXT_WIDTH, layers: int = READING_LAYERS + LOOKUP_LAYERS
) -> CLIPTextModel:
    """An untrained text encoder: token ids (b, 32) -> states (b, 32, width)."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        max_position_embeddings=LENGTH,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def new_unet(
    widths: tuple[int, ...] = (48, 96, 192, 256), text_width: int = TEXT_WIDTH
) -> UNet2DConditionModel:
    """An untrained UNet for latents (b, 8, h, w), h and w multiples of 8.

    The lowest of its four levels is 2x2: there a padded convolution is another linear map at every
    position, so that a caption becomes a layout without having to learn where to look.
    `addition_embed_type="text"` pools the caption into the time embedding too: with the scale and
    shift of every block it steers the whole picture from the first steps on.
    """
    plain, looking = len(widths) - 2, 2
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",) * looking,
        up_block_types=("CrossAttnUpBlock2D",) * looking + ("UpBlock2D",) * plain,
        block_out_channels=widths,
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=8,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        time_embedding_dim=384,
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
    )


def scheduler() -> DDIMScheduler:
    """v-prediction over Stable Diffusion's own noise (sigma 0.03 to 14.6): every sampler works unmodified."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )
