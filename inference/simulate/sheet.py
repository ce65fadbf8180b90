"""The plots, one sheet: waits by person, who got the machine when, fairness, and how much was drawn.

Drawn with Pillow at twice the size and reduced, which makes straight lines smooth.
"""

from __future__ import annotations

import contextlib
import functools
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from inference.simulate.story import Story

WIDTH, HEIGHT, FINE = 1440, 1180, 2
PAPER, INK, SOFT, RULE = "#ffffff", "#1d2733", "#667483", "#e3e8ed"
OURS, OTHERS, EMPTY = "#d4572a", "#8fa1b3", "#f3f5f7"
PEOPLE = ("#2f6f9f", "#e0a526", "#4f9a6b", "#8a5fa8", "#3aa6a6", "#b5476d", "#7a6a53", "#5a7bd0")
"""Colours of people that stay apart for most colour-blind eyes."""
GREYS = {"flood": "#c3ccd5", "steady": OTHERS}
"""Those who want all they can get are the background."""
FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "segoeui.ttf", "Helvetica.ttc")
"""The first that this machine has; Pillow's own knows no accents."""
FEW, MANY = (1, 1.5, 2, 3), (1, 3, 10, 30, 100, 300, 1_000, 3_000)
"""Where an axis of waits is marked."""
BOLD = 1
"""Pixels of stroke around letters that should be seen first."""

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class Sheet:
    """A canvas measured in pixels of the finished sheet."""

    image: Image.Image
    draw: ImageDraw.ImageDraw

    @classmethod
    def blank(cls) -> Sheet:
        """White paper."""
        image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), PAPER)
        return cls(image, ImageDraw.Draw(image))

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.0) -> None:
        """A line through ``points``."""
        self.draw.line([(x * FINE, y * FINE) for x, y in points], colour, round(width * FINE), joint="curve")

    def area(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """A filled shape."""
        self.draw.polygon([(x * FINE, y * FINE) for x, y in points], colour)

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        """A filled circle."""
        self.draw.ellipse([v * FINE for v in (x - radius, y - radius, x + radius, y + radius)], colour)

    def box(self, box: Box, colour: str) -> None:
        """A filled rectangle."""
        self.draw.rectangle([v * FINE for v in box], colour)

    def text(
        self, x: float, y: float, words: str, *, size: float = 15, colour: str = INK, anchor: str = "ls",
        bold: bool = False,
    ) -> None:  # fmt: skip
        """Words; ``anchor`` as Pillow's: where (x, y) is in them."""
        place, plain = (x * FINE, y * FINE), words if _file() else _ascii(words)
        self.draw.text(place, plain, colour, _font(size * FINE), anchor, stroke_width=BOLD if bold else 0)

    def save(self, path: Path) -> None:
        """Write a PNG."""
        self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(path, optimize=True)


@functools.cache
def _file() -> str:
    """A font of this machine, or nothing."""
    for name in FONTS:
        with contextlib.suppress(OSError):
            ImageFont.truetype(name, 12)
            return name
    return ""


@functools.cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.truetype(_file(), size) if _file() else ImageFont.load_default(size)


def _ascii(words: str) -> str:
    """Letters without their accents."""
    return unicodedata.normalize("NFKD", words.replace("×", "x")).encode("ascii", "ignore").decode()


def draw(stories: Mapping[str, Story], words: Mapping[str, str], path: Path) -> None:
    """``stories`` by policy, ours first, onto one sheet at ``path``. ``words`` are every word on it."""
    sheet = Sheet.blank()
    sheet.text(56, 60, words["title"], size=27, bold=True)
    sheet.text(56, 90, words["subtitle"], size=16, colour=SOFT)
    _waits(sheet, (56, 184, 730, 584), stories, words)
    _fairness(sheet, (800, 184, 1384, 404), stories, words)
    _work(sheet, (800, 474, 1384, 584), stories, words)
    _shares(sheet, (56, 692, 1384, 1112), stories, words)
    sheet.save(path)


def _written(value: float, digits: int, words: Mapping[str, str]) -> str:
    """A number as people of this language write it; ``point`` is what stands before its decimals."""
    text = f"{value:,.{digits}f}"
    return text if words["point"] == "." else text.translate(str.maketrans(",.", ".,"))


def _title(sheet: Sheet, box: Box, words: Mapping[str, str], key: str) -> None:
    sheet.text(box[0], box[1] - 34, words[key], size=19, bold=True)
    sheet.text(box[0], box[1] - 12, words[f"{key}_note"], size=14, colour=SOFT)


def _waits(sheet: Sheet, box: Box, stories: Mapping[str, Story], words: Mapping[str, str]) -> None:
    """A line for each policy and group from the median to the 95th percentile, on a logarithmic scale."""
    _title(sheet, box, words, "waits")
    left, top, right, bottom = box[0] + 150, box[1] + 16, box[2], box[3] - 26
    worst = max(group.p95 for story in stories.values() for group in story.groups.values())
    ticks = [tick for tick in (FEW if worst < FEW[-1] else MANY) if tick <= max(FEW[-1], 1.3 * worst)]

    def across(value: float) -> float:
        return left + (right - left) * math.log(max(1.0, value)) / math.log(max(FEW[-1], 1.2 * worst))

    for tick in ticks:
        sheet.line([(across(tick), top), (across(tick), bottom)], RULE)
        label = f"×{_written(tick, int(tick % 1 > 0), words)}"
        sheet.text(across(tick), bottom + 20, label, size=13, colour=SOFT, anchor="ms")
    groups = sorted(
        {name for story in stories.values() for name in story.groups}, key=lambda n: (n != "light", n)
    )
    high = (bottom - top) / len(stories)
    for place, (policy, story) in enumerate(stories.items()):
        ours = not place
        middle = top + high * (place + 0.5)
        sheet.text(
            box[0], middle, words[policy], size=15, anchor="lm", colour=OURS if ours else INK, bold=ours
        )
        for row, name in enumerate(name for name in groups if name in story.groups):
            group, y = story.groups[name], middle + (row - (len(groups) - 1) / 2) * 19
            colour = OURS if ours and name == "light" else GREYS.get(name, OTHERS)
            sheet.line([(across(group.median), y), (across(group.p95), y)], colour, 5)
            sheet.dot(across(group.median), y, 6, colour)
            if name == "light":
                label = f"×{_written(group.p95, 1 if group.p95 < 100 else 0, words)}"
                label += f"  {words.get(name, name)}" if ours and len(groups) > 1 else ""
                end = across(group.p95) + 10
                sheet.text(end, y, label, size=14, anchor="lm", bold=ours, colour=OURS if ours else INK)
            elif ours:
                sheet.text(
                    across(group.p95) + 10, y, words.get(name, name), size=13, anchor="lm", colour=SOFT
                )


def _fairness(sheet: Sheet, box: Box, stories: Mapping[str, Story], words: Mapping[str, str]) -> None:
    """Jain's index over time."""
    _title(sheet, box, words, "jain")
    left, top, right, bottom = box[0] + 40, box[1] + 12, box[2] - 110, box[3]
    for value in (0.0, 0.5, 1.0):
        y = bottom - (bottom - top) * value
        sheet.line([(left, y), (right, y)], RULE)
        label = _written(value, int(value % 1 > 0), words)
        sheet.text(left - 8, y, label, size=13, colour=SOFT, anchor="rm")
    longest = max(story.end for story in stories.values())
    for policy, story in reversed(list(stories.items())):
        ours = policy == next(iter(stories))
        points = [
            (left + (right - left) * (n + 1) * story.step / longest, bottom - (bottom - top) * value)
            for n, value in enumerate(_smooth(story.jain))
        ]
        sheet.line(points, OURS if ours else OTHERS, 3 if ours else 1.5)
    low = top - 17.0
    for mean, policy in sorted(((_mean(story.jain), name) for name, story in stories.items()), reverse=True):
        ours = policy == next(iter(stories))
        low = max(low + 17, bottom - (bottom - top) * mean)
        label = f"{words[policy]} {_written(mean, 2, words)}"
        sheet.text(right + 8, low, label, size=13, anchor="lm", colour=OURS if ours else SOFT, bold=ours)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _smooth(values: Sequence[float]) -> list[float]:
    """Means of three neighbours: a window's index is noisy, its trend is what matters."""
    padded = [values[0], *values, values[-1]]
    return [sum(padded[n : n + 3]) / 3 for n in range(len(values))]


def _work(sheet: Sheet, box: Box, stories: Mapping[str, Story], words: Mapping[str, str]) -> None:
    """How much was drawn a second, of what a machine can."""
    _title(sheet, box, words, "work")
    high = (box[3] - box[1]) / len(stories)
    most = max(1.0, *(story.rate for story in stories.values()))
    for place, (policy, story) in enumerate(stories.items()):
        y, ours = box[1] + high * (place + 0.5), not place
        end = box[0] + 150 + (box[2] - box[0] - 210) * story.rate / most
        sheet.text(box[0], y, words[policy], size=14, anchor="lm", colour=OURS if ours else INK, bold=ours)
        sheet.box((box[0] + 150, y - high * 0.3, end, y + high * 0.3), OURS if ours else OTHERS)
        rate = "<1%" if 0.0 < story.rate < 0.01 else f"{story.rate:.0%}"
        sheet.text(end + 8, y, rate, size=14, anchor="lm", colour=INK, bold=ours)


def _shares(sheet: Sheet, box: Box, stories: Mapping[str, Story], words: Mapping[str, str]) -> None:
    """Who had the machine when: one band of colours for each policy, stacked to everything. Of more people
    than there are colours, only how much they had of it."""
    people = _order(stories)
    crowd = len([name for name in people if name not in GREYS]) > len(PEOPLE)
    _title(sheet, box, words, "load" if crowd else "service")
    high = (box[3] - box[1]) / len(stories)
    longest = max(story.end for story in stories.values())
    for place, (policy, story) in enumerate(stories.items()):
        top, bottom = box[1] + high * place + 6, box[1] + high * (place + 1) - 6
        left, right = box[0] + 150, box[0] + 150 + (box[2] - box[0] - 150) * story.end / longest
        ours = not place
        middle = (top + bottom) / 2
        sheet.text(
            box[0], middle, words[policy], size=15, anchor="lm", colour=OURS if ours else INK, bold=ours
        )
        base = [0.0] * len(story.jain)
        if crowd:
            sheet.box((left, top, right, bottom), EMPTY)
            _band(sheet, (left, top, right, bottom), base, _load(story), OURS if ours else OTHERS)
            continue
        for person in people:
            got = _portions(story, person)
            after = [low + value for low, value in zip(base, got, strict=True)]
            _band(sheet, (left, top, right, bottom), base, after, _colour(person, people))
            base = after
    sheet.text(
        box[2],
        box[3] + 24,
        words["time"].format(seconds=_written(longest, 0, words)),
        size=14,
        colour=SOFT,
        anchor="rs",
    )
    if not crowd:
        _legend(sheet, box[0] + 150, box[3] + 20, people, words)


def _band(sheet: Sheet, box: Box, low: Sequence[float], high: Sequence[float], colour: str) -> None:
    """Steps: a window is a block, not a slope."""
    left, top, right, bottom = box
    for n, (a, b) in enumerate(zip(low, high, strict=True)):
        if b > a:
            x0, x1 = (left + (right - left) * k / len(low) for k in (n, n + 1))
            sheet.box((x0, bottom - (bottom - top) * b, x1, bottom - (bottom - top) * a), colour)


def _load(story: Story) -> list[float]:
    """How much was drawn in each window, of the best that the machines could have."""
    most = story.step * story.engines
    return [
        min(1.0, sum(_in(values, n) for values in story.service.values()) / most)
        for n in range(len(story.jain))
    ]


def _portions(story: Story, person: str) -> list[float]:
    """This person's part of what was drawn in each window."""
    windows = range(len(story.jain))
    totals = [sum(_in(values, n) for values in story.service.values()) for n in windows]
    mine = story.service.get(person)
    if mine is None:
        return [0.0 for _ in windows]
    return [_in(mine, n) / totals[n] if totals[n] > 0.0 else 0.0 for n in windows]


def _in(values: Sequence[float], window: int) -> float:
    return values[window] - (values[window - 1] if window else 0.0)


def _order(stories: Mapping[str, Story]) -> list[str]:
    """Everybody, whoever took most at the bottom."""
    story = next(iter(stories.values()))
    return sorted(story.service, key=lambda person: (-story.service[person][-1], person))


def _colour(person: str, people: Sequence[str]) -> str:
    if person in GREYS:
        return GREYS[person]
    return PEOPLE[[name for name in people if name not in GREYS].index(person) % len(PEOPLE)]


def _legend(sheet: Sheet, x: float, y: float, people: Sequence[str], words: Mapping[str, str]) -> None:
    """The greys by name; the others are people like each other."""
    named = [name for name in people if name in GREYS]
    rest = [name for name in people if name not in GREYS]
    for name in named:
        sheet.box((x, y - 7, x + 14, y + 7), GREYS[name])
        sheet.text(x + 20, y, words.get(name, name), size=13, anchor="lm", colour=SOFT)
        x += 48 + 7.4 * len(words.get(name, name))
    for name in rest[: len(PEOPLE)]:
        sheet.box((x, y - 7, x + 14, y + 7), _colour(name, people))
        x += 18
    label = words["light"] if len(rest) > 4 else " · ".join(words.get(name, name) for name in rest)
    sheet.text(x + 4, y, label, size=13, anchor="lm", colour=SOFT)
