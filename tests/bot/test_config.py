"""Configuration: every key optional, every problem told at once, no secret ever shown."""

from __future__ import annotations

import pickle
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import config, rules, texts
from bot.config import ROOT, BadConfig, Config, load
from bot.secret import Secret, parse_env
from inference.request import ModelSpec

EXAMPLE = ROOT / "deploy" / "falopitas.example.toml"


def loaded(folder: Path, text: str, **environ: str) -> Config:
    file = folder / "falopitas.toml"
    file.write_text(text, "utf-8")
    return load(file, environ)


def problems(folder: Path, text: str, **environ: str) -> dict[str, tuple[str, str]]:
    with pytest.raises(BadConfig) as caught:
        loaded(folder, text, **environ)
    for language in texts.LANGUAGES:
        assert all(texts.problems(language, caught.value))
    return {each.key: (each.what, each.suggestion) for each in caught.value.problems}


def test_nothing_is_needed(tmp_path: Path) -> None:
    made = loaded(tmp_path, "")
    assert [spec.name for spec in made.models] == ["builtin"]
    assert (made.daily_credits, made.queue_limit, made.retention_days, made.device) == (100, 20, 0, "auto")
    assert (made.web.host, made.web.port, made.web.public) == ("127.0.0.1", 8427, False)
    assert made.discord.token is None


def test_everything_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").touch()
    made = loaded(
        tmp_path,
        """
        data_dir = "pictures"
        language = "es"
        default_model = "mine"
        daily_credits = 5
        queue_limit = 2
        retention_days = 30
        device = "cuda:1"
        log_level = "debug"
        [web]
        host = "0.0.0.0"
        public = true
        port = 80
        [rules]
        words = ["one", "two words"]
        [styles]
        ink = "ink drawing of {prompt}"
        [discord]
        api_root = "http://127.0.0.1:9/api"
        [models.mine]
        source = "mine.safetensors"
        sizes = [[512, 512], [512, 768]]
        price = 2
        [models.hub]
        source = "somebody/something"
        """,
    )
    assert made.data_dir == tmp_path / "pictures"
    assert made.models[1].source == str(tmp_path / "mine.safetensors")
    assert made.models[1].sizes == ((512, 512), (512, 768))
    assert made.models[2].source == "somebody/something"
    assert made.rules.words == ("one", "two words")
    assert made.path == tmp_path / "falopitas.toml"


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        prot = 1
        port = 3
        dayly_credits = 5
        queue_limit = 0
        retention_days = true
        default_model = "bultin"
        language = "fr"
        device = "tpu"
        log_level = "inof"
        data_dir = 7
        rules = 3
        [web]
        hots = "x"
        host = "0.0.0.0"
        [styles]
        "A b" = "{prompt}"
        none = "{prompt}"
        bad = "{prompt} {"
        worse = "no braces"
        evil = "{prompt.__class__}"
        twice = "{prompt} {prompt}"
        [discord]
        token = "canary"
        [models.m1]
        steps = 120
        max_steps = 60
        guidance = nan
        sampler = "eular"
        sizes = [[1, 2]]
        [models.m2]
        source = "not a path"
        width = 500
        [models.m3]
        source = "a/b"
        width = 2048
        height = 2048
        [models.builtin]
        [models."Bad Name"]
        """,
    )
    assert found == {
        "prot": ("unknown_key", ""),
        "port": ("unknown_key", "web.port"),
        "dayly_credits": ("unknown_key", "daily_credits"),
        "queue_limit": ("whole_number", ""),
        "retention_days": ("whole_number", ""),
        "default_model": ("choice", "builtin"),
        "language": ("choice", ""),
        "device": ("device", "cpu"),
        "log_level": ("choice", "info"),
        "data_dir": ("text", ""),
        "rules": ("table", ""),
        "web.hots": ("unknown_key", "web.host"),
        "web.host": ("not_public", "public = true"),
        "styles.A b": ("bad_name", ""),
        "styles.none": ("bad_name", ""),
        "styles.bad": ("style", "{prompt}, bad"),
        "styles.worse": ("style", "{prompt}, worse"),
        "styles.evil": ("style", "{prompt}, evil"),
        "styles.twice": ("style", "{prompt}, twice"),
        "discord.token": ("secret_in_file", "DISCORD_TOKEN"),
        "models.m1.source": ("no_source", ""),
        "models.m1.guidance": ("number", ""),
        "models.m1.sampler": ("choice", "euler"),
        "models.m1.sizes": ("own_size", ""),
        "models.m1.steps": ("too_many_steps", ""),
        "models.m2.source": ("source", ""),
        "models.m2.width": ("side", ""),
        "models.m3.max_pixels": ("too_few_pixels", ""),
        "models.builtin": ("reserved_model", ""),
        "models.Bad Name": ("bad_name", ""),
    }


@pytest.mark.parametrize(
    ("said", "near"),
    [
        ("'gpu'", "cuda"),
        ("'GPU'", "cuda"),
        ("'cud'", "cuda"),
        ("'metal'", "mps"),
        ("'cuda:x'", "cuda:N"),
        ("''", ""),
        ("0", ""),
    ],
)
def test_a_device_that_is_none_is_told_which_there_are(tmp_path: Path, said: str, near: str) -> None:
    with pytest.raises(BadConfig) as caught:
        loaded(tmp_path, f"device = {said}")
    assert [each.suggestion for each in caught.value.problems] == [near]
    for language in texts.LANGUAGES:
        assert "auto, cpu, cuda, cuda:N, mps" in texts.problems(language, caught.value)[0]


def test_an_address_that_is_none_is_told_its_form(tmp_path: Path) -> None:
    found = problems(tmp_path, "[discord]\napi_root = 'ftp://x'\n[telegram]\nwebhook = 'http://x'")
    assert found == {"discord.api_root": ("web_address", ""), "telegram.webhook": ("web_address", "")}


def test_one_gpu_for_several_engines_is_refused(tmp_path: Path) -> None:
    """Each process sees a GPU of its own, under the number 0: number 1 would be none."""
    assert problems(tmp_path, 'device = "cuda:1"\nengines = 2') == {"device": ("one_gpu", "cuda")}
    assert loaded(tmp_path, 'device = "cuda"\nengines = 2').engines == 2
    assert loaded(tmp_path, 'device = "cuda:1"').device == "cuda:1"


@pytest.mark.parametrize(
    ("content", "what"), [(b"a = ", "not_toml"), (b"\xff\xfe", "unreadable"), (None, "no_file")]
)
def test_a_file_that_cannot_be_read_is_a_problem_not_a_traceback(
    tmp_path: Path, content: bytes | None, what: str
) -> None:
    file = tmp_path / "falopitas.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadConfig) as caught:
        load(file, {})
    assert [each.what for each in caught.value.problems] == [what]
    assert str(file) in texts.problems("es", caught.value)[0]
    with pytest.raises(BadConfig):
        load(tmp_path, {})


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("queue_limit = 7")
    assert load(None, {"FALOPITAS_CONFIG": str(file)}).queue_limit == 7
    assert load(None, {"FALOPITAS_DATA": str(tmp_path)}).data_dir == tmp_path


def test_secrets_come_from_the_environment_or_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DISCORD_TOKEN='from file'\nTELEGRAM_TOKEN=second # a comment\n")
    made = loaded(tmp_path, "", DISCORD_TOKEN="canary")
    assert made.discord.token == Secret("canary")
    assert made.telegram.token == Secret("second")


def test_a_secret_never_shows_itself(tmp_path: Path) -> None:
    made = loaded(tmp_path, "", DISCORD_TOKEN="canary")
    secret = made.discord.token
    assert secret is not None
    for shown in (
        repr(made),
        str(made),
        repr(secret),
        f"{secret}",
        f"{secret:>20}",
        repr([secret]),
    ):
        assert "canary" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    assert secret.reveal() == "canary"
    assert secret != "canary"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"), ("export A = b ", "b"), ('A="b # c"', "b # c"), ("A='b'  # c", "b"), ("A=b # c", "b"),
        ("A=", ""), ("A=b#c", "b#c"), ("A='b\"", "'b\""), ("\ufeffA=b", "b"), ("A=a=b", "a=b"),
    ],
)  # fmt: skip
def test_dotenv_lines(line: str, value: str) -> None:
    assert parse_env(line) == {"A": value}


@given(st.text())
def test_dotenv_reads_anything(text: str) -> None:
    assert all(isinstance(value, str) for value in parse_env(text).values())


toml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
).filter(lambda value: value is not None)
keys = st.sampled_from(["web", "models", "styles", "rules", "language", "device", "discord", "data_dir", "x"])
inner = st.sampled_from(
    ["host", "port", "m", "source", "width", "sizes", "words", "token", "price", "public"]
)


@given(
    st.dictionaries(
        keys, toml_values | st.dictionaries(inner, toml_values | st.dictionaries(inner, toml_values))
    )
)
@settings(max_examples=100, deadline=None)
def test_no_document_is_a_traceback(document: dict[str, Any]) -> None:
    reader = config._Reader(document, Path("/nowhere"))
    reader.config({})
    for problem in reader.problems:
        for language in texts.LANGUAGES:
            texts.problems(language, BadConfig([problem]))


# --- the example


def uncommented() -> str:
    """The example as a file in which every key is set."""
    return re.sub(r"(?m)^#(?=[\[a-z\"])", "", EXAMPLE.read_text("utf-8"))


def test_the_example_loads_as_it_is() -> None:
    made = load(EXAMPLE, {})
    assert made.models == loaded_defaults().models


def loaded_defaults() -> Config:
    return Config(models=(config.builtin(),))


def test_the_example_loads_uncommented(tmp_path: Path) -> None:
    made = loaded(tmp_path, uncommented())
    assert len(made.models) > 1


def test_every_key_is_in_the_example() -> None:
    document = tomllib.loads(uncommented())
    for key in (*config.TOP, "data_dir", *config.TABLES):
        assert key in document, key
    for name, shape in config.SECTIONS.items():
        wanted = set(shape.__struct_fields__) - {"token"}
        assert wanted == set(document.get(name, {})), name
    said = {key for table in document["models"].values() for key in table}
    assert said == set(ModelSpec.__struct_fields__) - {"name"}


_SHOWN_BY_EXAMPLE = {"token", "words", "patterns", "allowed", "names", "webhook"}
"""Keys whose default is nothing."""


def test_every_key_shown_is_the_default() -> None:
    """Apart from tables of names and from examples, taking the # away changes nothing."""
    made, usual = tomllib.loads(uncommented()), loaded_defaults()
    for key in config.TOP:
        if key not in ("language", "default_model"):
            assert made[key] == getattr(usual, key), key
    for name, shape in config.SECTIONS.items():
        for key in set(shape.__struct_fields__) - _SHOWN_BY_EXAMPLE:
            assert made[name][key] == getattr(getattr(usual, name), key), key


def test_a_person_s_problems_are_in_their_language(tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as caught:
        loaded(tmp_path, "dayly_credits = 5")
    assert texts.problems("es", caught.value) == (
        "dayly_credits: No existe esa clave. ¿Querías decir daily_credits?",
    )


@pytest.mark.parametrize(
    ("said", "checker"), [("", "builtin"), ('safety = "off"', ""), ('safety = "builtin"', "builtin")]
)
def test_finished_pictures_are_checked_unless_somebody_says_off(
    tmp_path: Path, said: str, checker: str
) -> None:
    """Also where a folder has such a name."""
    (tmp_path / "builtin").mkdir()
    assert loaded(tmp_path, said).checker == checker
    assert loaded(tmp_path, 'safety = "./nsfw"').checker == str(tmp_path / "nsfw")


def test_languages_are_the_same_everywhere() -> None:
    assert set(texts.LANGUAGES) == {"en", "es"}
    for language in texts.LANGUAGES:
        assert load(EXAMPLE, {"LANG": f"{language}_XX.UTF-8"}).language == language


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({"LANG": "es"}, "es"),
        ({"LANG": "es-419"}, "es"),
        ({"LANG": "et_EE.UTF-8"}, "en"),
        ({"LC_ALL": "es_MX.UTF-8", "LANG": "en_US.UTF-8"}, "es"),
        ({"LC_ALL": "C", "LANG": "es_ES.UTF-8"}, ""),
        ({"LANG": "C.UTF-8"}, ""),
        ({"FALOPITAS_LANG": "es", "LC_ALL": "C"}, "es"),
        ({}, ""),
    ],
)
def test_the_machine_speaks_as_its_environment_says(environ: dict[str, str], language: str) -> None:
    assert config.spoken_here(environ) == language
    assert load(EXAMPLE, environ).language == language or not language


@pytest.mark.parametrize(
    ("text", "what", "near"),
    [
        ("go(+re", "pattern.repeats", r"'go\(\+re'"),
        ("[unclosed", "pattern.open", r"'\[unclosed'"),
        ("don't (", "pattern.open", ""),
        ("a) b", "pattern.closed", r"'a\) b'"),
        ("sword(?=fish)", "pattern.unknown", ""),
        (r"(a)\1", "pattern.unknown", ""),
        ("a{1001}", "pattern.large", ""),
        (r"\p{L}{900}", "pattern.large", ""),
        ("[z-a]", "pattern.range", ""),
        ("a\\", "pattern.ends", ""),
        ("\bgore\b", "pattern.quotes", r"'\bgore\b'"),
    ],
)
def test_a_pattern_that_is_none_is_named_with_what_is_wrong(
    tmp_path: Path, text: str, what: str, near: str
) -> None:
    found = problems(tmp_path, f"[rules]\npatterns = {msgspec.json.encode([text, 'go+re']).decode()}")
    assert found == {"rules.patterns": (what, near)}


def test_every_bad_pattern_is_told_and_what_is_suggested_finds_the_text(tmp_path: Path) -> None:
    said = r"""[rules]
patterns = ["go(+re", 'fine\d+', "[unclosed"]
"""
    with pytest.raises(BadConfig) as caught:
        loaded(tmp_path, said)
    spoken = texts.problems("en", caught.value)
    assert [line.count("rules.patterns") for line in spoken] == [1, 1]
    assert '"go(+re"' in spoken[0]
    assert '"[unclosed"' in spoken[1]
    better = ", ".join(each.suggestion for each in caught.value.problems)
    made = loaded(tmp_path, f"[rules]\npatterns = [{better}]")
    for prompt in ("a go(+re b", "an [unclosed c"):
        verdict = rules.judge(prompt, made)
        assert verdict
        assert verdict.rule == "patterns"
    assert rules.judge("gore", made) is None
