"""What can be drawn: one Concept a thing, with its names in two languages and its icon in each style."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.training.sources import ART, WORDS, fetch, read_json

LANGUAGES = ("en", "es")
STYLES = tuple(ART)

# emojibase groups 2 (skin tones, hair) and 9 (flags) are no things; of group 8 and of the clock
# faces, the subgroups below are letters, digits, arrows and signs: small text is beyond the model.
_SKIPPED_GROUPS = {None, 2, 9}
_SKIPPED_SUBGROUPS = {31, 83, 85, 87, 88, 89, 90, 91, 92, 94, 95, 96}
_CLOCK = re.compile(r"o’clock|-thirty")


@dataclass(frozen=True, slots=True)
class Concept:
    """A thing: `key` is its icon name, `names[language]` its label and then words for it alone."""

    key: str
    group: int
    names: dict[str, tuple[str, ...]]
    tags: dict[str, tuple[str, ...]]
    icons: dict[str, str]


def catalogue(folder: Path) -> tuple[Concept, ...]:
    """The concepts that stand in at least three styles, in Unicode order, from the tarballs in `folder`."""
    icons = _icons_by_code(folder)
    words = {lang: _words(folder, lang) for lang in LANGUAGES}
    found = [
        _concept(code, icons[code], {lang: words[lang][code] for lang in LANGUAGES})
        for code in words["en"]
        if _is_thing(words["en"][code]) and len(icons.get(code, {})) >= 3
    ]
    return tuple(_with_synonyms(found))


def core(concepts: Iterable[Concept]) -> tuple[Concept, ...]:
    """The concepts of `CORE`, in its order; KeyError names one that the catalogue lacks."""
    by_key = {concept.key: concept for concept in concepts}
    return tuple(_with_synonyms([by_key[key] for key in CORE]))


def _code(hexcode: str) -> str:
    """A code point sequence without the variation selector, on whose use the sets disagree."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def _words(folder: Path, language: str) -> dict[str, dict[str, Any]]:
    entries = read_json(fetch(WORDS, folder), f"{language}/data.json")
    return {_code(entry["hexcode"]): entry for entry in entries}


def _icons_by_code(folder: Path) -> dict[str, dict[str, str]]:
    """Code -> style -> icon name. Two of the sets map no code points: they share their siblings' names."""
    tarballs = {style: fetch(package, folder) for style, package in ART.items()}
    named: dict[str, list[str]] = {}
    for style in ("flat", "noto"):
        for hexcode, name in read_json(tarballs[style], "chars.json").items():
            named.setdefault(_code(hexcode), []).append(name)
    result: dict[str, dict[str, str]] = {}
    for style, tarball in tarballs.items():
        present = read_json(tarball, "icons.json")["icons"]
        for code, names in named.items():
            name = next((name for name in names if name in present), None)
            if name is not None:
                result.setdefault(code, {})[style] = name
    return result


def _is_thing(entry: dict[str, Any]) -> bool:
    return (
        entry.get("group") not in _SKIPPED_GROUPS
        and entry.get("subgroup") not in _SKIPPED_SUBGROUPS
        and not _CLOCK.search(entry["label"])
    )


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", text.lower().replace("’", "'").replace(":", "").replace(",", "")).strip()


def _concept(code: str, icons: dict[str, str], entries: dict[str, dict[str, Any]]) -> Concept:
    key = icons.get("noto") or next(iter(icons.values()))
    return Concept(
        key=key,
        group=int(entries["en"]["group"]),
        names={
            lang: (_clean(entry["label"]), *_SYNONYMS.get((key, lang), ())) for lang, entry in entries.items()
        },
        tags={lang: tuple(_clean(tag) for tag in entry.get("tags", ())) for lang, entry in entries.items()},
        icons=icons,
    )


def _with_synonyms(concepts: list[Concept]) -> list[Concept]:
    """Add to each concept's names the tags that are its own: "car" must not also name the police car."""
    result = []
    used = {
        lang: Counter(word for c in concepts for word in {*c.tags[lang], *c.names[lang]})
        for lang in LANGUAGES
    }
    for concept in concepts:
        names = {
            lang: tuple(
                dict.fromkeys(
                    (
                        *concept.names[lang],
                        *(tag for tag in concept.tags[lang] if _names_it(tag, used[lang][tag])),
                    )
                )
            )
            for lang in LANGUAGES
        }
        result.append(Concept(concept.key, concept.group, names, concept.tags, concept.icons))
    return result


def _names_it(tag: str, uses: int) -> bool:
    return uses == 1 and len(tag) > 2 and tag not in _NOT_NAMES and not re.search(r"\d|[^\w\s'-]", tag)


# Tags that say something about a thing and are no word for it.
_ABOUT = (
    "red orange yellow green blue purple pink brown black white gray grey small big large tiny huge "
    "rojo naranja amarillo verde azul morado rosa marrón negro blanco gris pequeño grande "
    "flat blob noto 3d plano animal cara face food comida plant planta "
    # Of people, true of a thing only by accident: "woman" names no shoe.
    "woman man men family female male american european japanese japonés christian irish personal "
    "gay lesbian trans transgender queer genderqueer dead death muerte arma"
)
_NOT_NAMES = frozenset(_ABOUT.split())

# Words that people use and emojibase does not list.
_SYNONYMS: dict[tuple[str, str], tuple[str, ...]] = {
    ("automobile", "en"): ("car",),
    ("automobile", "es"): ("auto", "carro"),
    ("doughnut", "en"): ("donut",),
    ("doughnut", "es"): ("dona", "rosquilla"),
    ("ear-of-corn", "en"): ("corn",),
    ("ear-of-corn", "es"): ("maíz", "choclo"),
    ("french-fries", "en"): ("fries", "chips"),
    ("french-fries", "es"): ("papas fritas",),
    ("hot-beverage", "en"): ("coffee", "cup of coffee"),
    ("hot-beverage", "es"): ("café", "taza de café"),
    ("soccer-ball", "es"): ("pelota de fútbol",),
    ("mate", "es"): ("mate",),
    ("pig", "es"): ("chancho", "puerco"),
    ("ox", "en"): ("bull",),
    ("ox", "es"): ("toro",),
    ("ewe", "en"): ("sheep",),
    ("ewe", "es"): ("oveja",),
    ("honeybee", "en"): ("bee",),
    ("lady-beetle", "en"): ("ladybug",),
    ("lady-beetle", "es"): ("mariquita",),
    ("t-rex", "en"): ("dinosaur",),
    ("t-rex", "es"): ("dinosaurio",),
    ("wrapped-gift", "en"): ("gift", "present"),
    ("closed-book", "en"): ("book",),
    ("closed-book", "es"): ("libro",),
    ("lollipop", "es"): ("chupetín", "piruleta"),
    ("peach", "es"): ("durazno",),
    ("strawberry", "es"): ("frutilla",),
    ("avocado", "es"): ("palta",),
    ("red-apple", "en"): ("apple",),
    ("red-apple", "es"): ("manzana",),
    ("bicycle", "en"): ("bike",),
    ("bicycle", "es"): ("bici",),
    ("motorcycle", "es"): ("moto",),
    ("airplane", "en"): ("plane",),
    ("t-shirt", "es"): ("remera",),
    ("red-heart", "en"): ("heart",),
    ("red-heart", "es"): ("corazón",),
    ("pile-of-poo", "en"): ("poop",),
    ("spouting-whale", "en"): ("whale",),
    ("spouting-whale", "es"): ("ballena",),
    ("horse", "es"): ("caballito",),
    ("deciduous-tree", "en"): ("tree",),
    ("deciduous-tree", "es"): ("árbol",),
    ("evergreen-tree", "en"): ("pine tree",),
    ("evergreen-tree", "es"): ("pino",),
}

# The concepts of the first model. One of each pair of look-alikes (dog, dog face); animals, food
# and plants first: what people ask a sticker bot for. The rest comes with `--concepts all`.
_CORE = """
    monkey gorilla dog poodle wolf fox raccoon cat lion tiger leopard horse unicorn zebra deer cow ox
    water-buffalo pig boar ram ewe goat camel llama giraffe elephant rhinoceros hippopotamus mouse rat
    hamster rabbit chipmunk hedgehog bat bear koala panda sloth otter kangaroo paw-prints turkey chicken
    rooster hatching-chick baby-chick bird penguin dove eagle duck swan owl flamingo peacock parrot frog
    crocodile turtle lizard snake dragon t-rex sauropod spouting-whale dolphin fish tropical-fish blowfish
    shark octopus spiral-shell crab lobster shrimp squid jellyfish snail butterfly bug ant honeybee
    lady-beetle cricket spider scorpion mosquito bouquet cherry-blossom rose hibiscus sunflower blossom
    tulip seedling potted-plant evergreen-tree deciduous-tree palm-tree cactus herb four-leaf-clover
    maple-leaf fallen-leaf mushroom grapes melon watermelon tangerine lemon banana pineapple mango
    red-apple green-apple pear peach cherries strawberry blueberries kiwi-fruit tomato olive coconut
    avocado eggplant potato carrot ear-of-corn hot-pepper bell-pepper cucumber broccoli garlic onion
    peanuts chestnut bread croissant baguette-bread pretzel bagel pancakes waffle cheese-wedge
    meat-on-bone poultry-leg cut-of-meat bacon hamburger french-fries pizza hot-dog sandwich taco burrito
    egg cooking pot-of-food green-salad popcorn bento-box rice-ball curry-rice steaming-bowl spaghetti
    sushi fried-shrimp dumpling soft-ice-cream shaved-ice ice-cream doughnut cookie birthday-cake
    shortcake cupcake pie chocolate-bar candy lollipop custard honey-pot glass-of-milk hot-beverage teapot
    sake wine-glass cocktail-glass tropical-drink beer-mug mate ice amphora ghost alien alien-monster
    robot clown-face pile-of-poo skull ogre grinning-face smiling-face-with-heart-eyes
    smiling-face-with-sunglasses crying-face angry-face sleeping-face thinking-face red-heart broken-heart
    eye volcano desert-island house castle church tent ferris-wheel locomotive bus ambulance fire-engine
    police-car taxi automobile tractor racing-car motorcycle motor-scooter bicycle sailboat ship airplane
    helicopter rocket flying-saucer anchor satellite alarm-clock watch full-moon crescent-moon sun star
    cloud tornado rainbow umbrella high-voltage snowflake snowman fire droplet jack-o-lantern
    christmas-tree balloon wrapped-gift trophy soccer-ball basketball american-football tennis bowling
    boxing-glove pool-8-ball crystal-ball video-game game-die artist-palette sunglasses t-shirt jeans
    dress handbag backpack running-shoe high-heeled-shoe crown top-hat ring gem-stone bell headphone radio
    guitar violin trumpet drum telephone laptop television camera candle light-bulb closed-book money-bag
    envelope pencil scissors locked key hammer crossed-swords bomb shield telescope syringe door bathtub
    moai
"""
CORE: tuple[str, ...] = tuple(_CORE.split())
