"""`python -m inference.training`: from nothing, or from the shipped weights, to the shipped folder.

Each stage is skipped when its budget is spent, and goes on where it was cut off: run the command
again after a kill. The UNet gets most of `--minutes` (SHARES).
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from diffusers import AutoencoderTiny
from transformers import CLIPTextModel

from inference.training import export, scorer
from inference.training.evaluate import evaluate, record
from inference.training.loop import Budget
from inference.training.polish import polish_decoder
from inference.training.sheet import contact_sheet
from inference.training.sources import fetch_all
from inference.training.studio import Studio
from inference.training.train_autoencoder import train_autoencoder
from inference.training.train_lookup import train_lookup
from inference.training.train_text import get_tokenizer, train_text
from inference.training.train_unet import train_unet
from inference.training.train_upscaler import BLOCKS, WIDTH, train_upscaler

SHARES = {
    "autoencoder": 0.1,
    "text": 0.04,
    "lookup": 0.11,
    "unet": 0.55,
    "polish": 0.07,
    "scorer": 0.06,
    "upscaler": 0.07,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m inference.training", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120, help="training time in all, restarts added up")
    parser.add_argument("--concepts", choices=("core", "all"), default="core")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "falopitas-train")
    parser.add_argument("--out", type=Path, default=export.SHIPPED)
    parser.add_argument("--from-shipped", action="store_true", help="go on from the weights in --out")
    return parser.parse_args()


def _begin(studio: Studio, budgets: dict[str, Budget]) -> export.Networks:
    """The autoencoder and the text encoder, trained unless they were, and no UNet yet."""
    folder = studio.folder
    if not (folder / "vae").exists():
        train_autoencoder(studio, budgets["autoencoder"]).save_pretrained(folder / "vae")
    vae = AutoencoderTiny.from_pretrained(folder / "vae").eval()
    tokenizer = get_tokenizer(studio)
    if not (folder / "reader").exists():
        train_text(studio, budgets["text"]).save_pretrained(folder / "reader")
    if not (folder / "text_encoder").exists():
        reader = CLIPTextModel.from_pretrained(folder / "reader").eval()
        whole = train_lookup(studio, vae, reader, tokenizer, budgets["lookup"])
        whole.save_pretrained(folder / "text_encoder")
    text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    return export.Networks(vae, tokenizer, text_encoder, None)


def main() -> None:
    """Run every stage that still has time to spend, evaluate, export."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _arguments()
    studio = Studio(options.work, options.concepts)
    fetch_all(options.work / "npm")
    budgets = {stage: Budget(seconds=60 * options.minutes * share) for stage, share in SHARES.items()}
    # Shipped, the latent space and the words stay put: the UNet has learned both.
    start = export.load(options.out) if options.from_shipped else _begin(studio, budgets)
    unet = train_unet(studio, start.vae, start.text_encoder, start.tokenizer, budgets["unet"], start.unet)
    vae = polish_decoder(studio, start.vae, budgets["polish"])
    judge = scorer.train_scorer(studio, budgets["scorer"])
    scorer.save(judge)
    upscaler = train_upscaler(studio, vae, budgets["upscaler"])
    networks = export.Networks(vae, start.tokenizer, start.text_encoder, unet)
    export.export(networks, options.out)
    export.export_upscaler(upscaler, WIDTH, BLOCKS, options.out)
    contact_sheet(networks).save(options.out / "contact-sheet.png", optimize=True)
    record(evaluate(export.load(options.out), judge, studio), options.out)
    export.write_checksums(options.out)


if __name__ == "__main__":
    main()
