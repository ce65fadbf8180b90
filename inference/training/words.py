"""The words that captions use besides the names of things, in English and in Spanish."""

from __future__ import annotations

# Background -> sRGB. White is what a caption without a background gets.
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (16, 16, 18),
    "gray": (150, 152, 156),
    "red": (222, 48, 44),
    "orange": (250, 146, 40),
    "yellow": (252, 214, 54),
    "green": (64, 168, 84),
    "turquoise": (64, 200, 194),
    "light blue": (140, 200, 246),
    "blue": (44, 92, 212),
    "purple": (130, 72, 190),
    "pink": (248, 150, 190),
    "brown": (128, 86, 56),
}

# Background -> its words; in Spanish the masculine, as in "fondo rojo".
BACKGROUND_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {name: (name,) for name in BACKGROUNDS}
    | {
        "gray": ("gray", "grey"),
        "turquoise": ("turquoise", "teal", "cyan"),
        "light blue": ("light blue", "sky blue"),
    }
    | {"purple": ("purple", "violet")},
    "es": {
        "white": ("blanco",),
        "black": ("negro",),
        "gray": ("gris",),
        "red": ("rojo",),
        "orange": ("naranja", "anaranjado"),
        "yellow": ("amarillo",),
        "green": ("verde",),
        "turquoise": ("turquesa", "cian"),
        "light blue": ("celeste", "azul claro"),
        "blue": ("azul",),
        "purple": ("morado", "violeta", "púrpura"),
        "pink": ("rosa", "rosado"),
        "brown": ("marrón", "café"),
    },
}
BACKGROUND_PHRASES: dict[str, tuple[str, ...]] = {
    "en": ("on a {} background", "on {} background", "{} background", "on {}", "with a {} background"),
    "es": ("sobre fondo {}", "sobre un fondo {}", "con fondo {}", "fondo {}", "en fondo {}"),
}

# Size -> the drawn side of the thing as a part of the picture's shorter side.
SIZES: dict[str, float] = {"normal": 0.82, "small": 0.5, "large": 1.0}
SIZE_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {"small": ("small", "tiny", "little"), "large": ("big", "large", "huge")},
    "es": {"small": ("pequeño", "pequeña", "chico", "chiquito"), "large": ("grande", "enorme", "gran")},
}

STYLE_PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "3d": ("3d", "in 3d", "3d style", "3d render"),
        "flat": ("flat", "flat style", "in flat style", "flat design"),
        "noto": ("noto", "noto style", "in noto style"),
        "blob": ("blob", "blob style", "in blob style"),
    },
    "es": {
        "3d": ("3d", "en 3d", "estilo 3d"),
        "flat": ("plano", "estilo plano", "en estilo plano", "flat"),
        "noto": ("noto", "estilo noto", "en estilo noto"),
        "blob": ("blob", "estilo blob", "en estilo blob"),
    },
}

ARTICLES: dict[str, tuple[str, ...]] = {"en": ("a", "an", "the", "one"), "es": ("un", "una", "el", "la")}

# Words that change nothing in the picture. Colours stand among them on purpose: "a red fox on a
# blue background" must get the blue background, and the fox it knows.
FILLERS: dict[str, tuple[str, ...]] = {
    "en": (
        *("cute", "happy", "nice", "beautiful", "funny", "lovely", "pretty", "cool", "simple", "old", "new"),
        *("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray"),
    ),
    "es": (
        *(
            "lindo",
            "linda",
            "feliz",
            "bonito",
            "bonita",
            "gracioso",
            "hermoso",
            "simpático",
            "simple",
            "viejo",
        ),
        *(
            "rojo",
            "roja",
            "naranja",
            "amarillo",
            "verde",
            "azul",
            "morado",
            "rosa",
            "negro",
            "negra",
            "blanco",
        ),
    ),
}
OPENINGS: dict[str, tuple[str, ...]] = {
    "en": ("a picture of", "a sticker of", "an emoji of", "a drawing of", "an icon of", "draw"),
    "es": (
        "una imagen de",
        "un sticker de",
        "un emoji de",
        "un dibujo de",
        "un ícono de",
        "dibuja",
        "dibujá",
    ),
}

# How two things stand to each other -> the words between their names.
RELATIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {"beside": ("and", "next to", "beside", "with"), "above": ("above", "on top of", "over")},
    "es": {"beside": ("y", "al lado de", "junto a", "con"), "above": ("encima de", "arriba de", "sobre")},
}
