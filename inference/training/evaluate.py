"""Measures the shipped model: `python -m inference.training.evaluate`.

Prints a table and writes evaluation.json.

Every figure stands between two others: the same measure on real held-out renders (the ceiling) and
on pictures drawn for the empty prompt (the floor).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as fn

from inference.training import scorer as scoring
from inference.training.captions import plain
from inference.training.concepts import LANGUAGES, STYLES
from inference.training.export import SHIPPED, Networks, load
from inference.training.scenes import Scene, draw_all, fraction, scene_held_out, style_held_out
from inference.training.scorer import Scorer, background_of
from inference.training.sheet import PROMPTS, draw_prompts
from inference.training.studio import Studio
from inference.training.words import BACKGROUNDS, SIZES

BATCH = 32
Draw = Callable[[Sequence[str], Sequence[int]], Tensor]


@dataclass(frozen=True, slots=True)
class Question:
    """A scene that was held out, and its caption."""

    scene: Scene
    language: str
    prompt: str


def unseen_scenes(studio: Studio) -> list[Question]:
    """For each concept and language a (background, size) that no training picture of it had."""
    found = []
    for key in studio.by_key:
        places = [(b, s) for b in BACKGROUNDS for s in SIZES if scene_held_out(key, b, s)]
        styles = [s for s in STYLES if (key, s) in studio.sprites.index and not style_held_out(key, s)]
        for language in LANGUAGES:
            if places and styles:
                place = places[int(fraction("place", key, language) * len(places))]
                style = styles[int(fraction("drawn", key, language) * len(styles))]
                found.append(_question(studio, Scene((key,), style, *place), language))
    return found


def unseen_styles(studio: Studio) -> list[Question]:
    """Every (concept, style) pair that no training picture had, on white, in each language."""
    return [
        _question(studio, Scene((key,), style), language)
        for key in studio.by_key
        for style in STYLES
        if (key, style) in studio.sprites.index and style_held_out(key, style)
        for language in LANGUAGES
    ]


def _question(studio: Studio, scene: Scene, language: str) -> Question:
    return Question(scene, language, plain(scene, studio.by_key, language))


def in_batches(draw: Draw, prompts: Sequence[str], first_seed: int = 0) -> Tensor:
    """Draw every prompt, the seed of each its place after `first_seed`."""
    parts = []
    for start in range(0, len(prompts), BATCH):
        some = prompts[start : start + BATCH]
        parts.append(draw(some, range(first_seed + start, first_seed + start + len(some))))
    return torch.cat(parts)


def accuracy(scorer: Scorer, pictures: Tensor, questions: Sequence[Question]) -> dict[str, float]:
    """Top-1, top-5 and background accuracy, and top-1 by language, in percent."""
    ranked = scorer.top(pictures)
    hits = [q.scene.things[0] == row[0] for q, row in zip(questions, ranked, strict=True)]
    near = [q.scene.things[0] in row for q, row in zip(questions, ranked, strict=True)]
    grounds = [q.scene.background == b for q, b in zip(questions, background_of(pictures), strict=True)]
    result = {"top1": _percent(hits), "top5": _percent(near), "background": _percent(grounds)}
    for language in LANGUAGES:
        spoken = [hit for hit, q in zip(hits, questions, strict=True) if q.language == language]
        result[f"top1_{language}"] = _percent(spoken)
    return result | {"questions": float(len(questions))}


def _percent(hits: Sequence[bool]) -> float:
    return round(100 * sum(hits) / max(len(hits), 1), 1)


def diversity(scorer: Scorer, sets: Tensor) -> float:
    """Mean distance between the features of pictures for one prompt: (prompts, seeds, 3, h, w) -> one number.

    Features are scaled to length 1, so 0 is "all the same" and 1.41 is "nothing in common".
    """
    features = fn.normalize(scorer.features(sets.flatten(0, 1)), dim=1).view(*sets.shape[:2], -1)
    count = sets.shape[1]
    total = torch.stack([torch.pdist(row).mean() for row in features]) if count > 1 else torch.zeros(1)
    return round(float(total.mean()), 3)


def nearest(pictures: Tensor, training: Tensor) -> Tensor:
    """Root mean square distance (0 to 1) at 32x32 of each picture to the nearest of `training`."""
    small, known = (fn.interpolate(x, size=(32, 32), mode="area").flatten(1) for x in (pictures, training))
    distances: Tensor = torch.cdist(small, known).min(dim=1).values / float(small.shape[1]) ** 0.5
    return distances


def evaluate(
    networks: Networks, scorer: Scorer, studio: Studio, limit: int | None = None
) -> dict[str, object]:
    """All figures; `limit` asks fewer questions, for a quick look."""

    def draw(prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        return draw_prompts(networks, prompts, seeds)

    scenes, styles = _some(unseen_scenes(studio), limit), _some(unseen_styles(studio), limit)
    unasked = in_batches(draw, [""] * len(scenes), 5_000)
    made = in_batches(draw, [q.prompt for q in scenes])
    report: dict[str, object] = {
        "unseen_scene": {
            "model": accuracy(scorer, made, scenes),
            "real": accuracy(scorer, _real(studio, scenes), scenes),
            "unconditional": accuracy(scorer, unasked, scenes),
        },
        "unseen_style": {
            "model": accuracy(scorer, in_batches(draw, [q.prompt for q in styles]), styles),
            "real": accuracy(scorer, _real(studio, styles), styles),
            "unconditional": accuracy(scorer, unasked[: len(styles)], styles[: len(unasked)]),
        },
        "contact_sheet_top1": sheet_score(draw, scorer),
    }
    return report | _spread(draw, scorer, studio, unasked, 8 if limit else 24)


def sheet_score(draw: Draw, scorer: Scorer) -> float:
    """Percent of the 48 fixed prompts whose picture the scorer names rightly."""
    ranked = scorer.top(in_batches(draw, [prompt for prompt, _ in PROMPTS]))
    return _percent([row[0] == wanted for row, (_, wanted) in zip(ranked, PROMPTS, strict=True)])


def _spread(draw: Draw, scorer: Scorer, studio: Studio, unasked: Tensor, count: int) -> dict[str, object]:
    """Diversity between seeds, and how near the pictures come to training pictures."""
    keys = sorted(studio.by_key, key=lambda key: fraction("spread", key))[:count]
    words = [studio.by_key[key].names["en"][0] for key in keys]
    sets = torch.stack([in_batches(draw, words, seed * 1_000) for seed in range(4)], dim=1)
    alike = torch.stack([draw_all(_styles_of(studio, key), studio.sprites) for key in keys])
    training = draw_all([Scene((key,), style) for key, style in studio.pairs], studio.sprites)
    unknown = _real(studio, unseen_styles(studio)[:: len(LANGUAGES)])
    return {
        "diversity": {
            "model": diversity(scorer, sets),
            "real": diversity(scorer, alike),
            "unconditional": diversity(
                scorer, unasked[: len(unasked) // 4 * 4].reshape(-1, 4, *unasked.shape[1:])
            ),
        },
        "nearest_training_picture": {
            "model": _median(nearest(sets[:, 0], training)),
            "real": _median(nearest(unknown, training)),
            "unconditional": _median(nearest(unasked, training)),
        },
    }


def _styles_of(studio: Studio, key: str) -> list[Scene]:
    """Four real pictures of a thing: its styles, the last again where it has but three."""
    scenes = [Scene((key,), style) for style in STYLES if (key, style) in studio.sprites.index]
    return (scenes * 2)[:4]


def _median(values: Tensor) -> float:
    return round(float(values.median()), 4)


def _real(studio: Studio, questions: Sequence[Question]) -> Tensor:
    return draw_all([question.scene for question in questions], studio.sprites)


def _some(questions: list[Question], limit: int | None) -> list[Question]:
    if limit is None:
        return questions
    return sorted(questions, key=lambda q: fraction("some", q.prompt))[:limit]


def table(report: dict[str, object]) -> str:
    """The report as lines of text."""
    lines = []
    for name, value in report.items():
        if isinstance(value, dict):
            lines += [f"{name:26s} {row:14s} {figures}" for row, figures in value.items()]
        else:
            lines.append(f"{name:26s} {value}")
    return "\n".join(lines)


def record(report: dict[str, object], folder: Path) -> None:
    """Keep the figures beside the weights that they are of."""
    (folder / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n")


def main() -> None:
    """Evaluate a folder and write its evaluation.json."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=SHIPPED, help="the diffusers folder")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "falopitas-train")
    parser.add_argument("--limit", type=int, help="ask this many questions a split (they are counted)")
    options = parser.parse_args()
    report = evaluate(load(options.folder), scoring.load(), Studio(options.work), options.limit)
    record(report, options.folder)
    sys.stdout.write(table(report) + "\n")


if __name__ == "__main__":
    main()
