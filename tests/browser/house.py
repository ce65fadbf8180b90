"""A bot for the page's tests: accounts, pictures and scripted replies in memory, no storage, no engine."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from bot.adapters.web import Web
from bot.adapters.web.house import PAGE, Entry, Kept, Past, Quota, Waiting
from bot.talk import Ask, Attachment, Button, Call, Image, Reply, Tone
from storage.refusal import Refusal

GOOD_CODE = "ABCD2345"


# -- asks, named as the real ones are ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Imagine:
    prompt: str = ""
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Upscale:
    job: int
    picture: int = 0


@dataclass(frozen=True, slots=True)
class Vary:
    job: int
    picture: int = 0


@dataclass(frozen=True, slots=True)
class Again:
    job: int


@dataclass(frozen=True, slots=True)
class Remix:
    job: int
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Details:
    job: int


@dataclass(frozen=True, slots=True)
class Star:
    job: int
    off: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    job: int
    sure: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    job: int


ASKS = {kind.__name__: kind for kind in (Upscale, Vary, Again, Remix, Details, Star, Delete, Cancel)}


# -- pictures ----------------------------------------------------------------------------------------------


def sticker(seed: int, side: int = 256) -> bytes:
    """A colourful thing on a plain ground, as the built-in model draws them."""
    grounds = ("#3d7fd6", "#f3a7bd", "#8ed6b8", "#f2c53d", "#8a63c9", "#f08a5d", "#62b6cb", "#d8d3c4")
    body = ("#e2572b", "#d9d9de", "#7a4a2b", "#2e2a33", "#f7f0e0", "#4aa564", "#c43c5b", "#f4c430")
    big = side * 2
    picture = Pillow.new("RGB", (big, big), grounds[seed % len(grounds)])
    draw = ImageDraw.Draw(picture)
    c, r, turn = big // 2, int(big * 0.3), seed % 5 * big // 60
    colour = body[(seed * 3 + 1) % len(body)]
    draw.ellipse((c - r + turn, c - r, c + r + turn, c + r + turn), fill=colour)
    for side_of in (-1, 1):
        x = c + side_of * r * 0.62 + turn
        draw.polygon(
            [(x - r * 0.35, c - r * 0.6), (x + side_of * r * 0.2, c - r * 1.35), (x + r * 0.35, c - r * 0.6)],
            fill=colour,
        )
        draw.ellipse((x - r * 0.14, c - r * 0.2, x + r * 0.14, c + r * 0.1), fill="#241a2a")
        draw.ellipse((x - r * 0.02, c - r * 0.17, x + r * 0.07, c - r * 0.06), fill="white")
    draw.chord((c - r * 0.4 + turn, c + r * 0.1, c + r * 0.4 + turn, c + r * 0.65), 0, 180, fill="#fff6e8")
    return png(picture.filter(ImageFilter.GaussianBlur(1.5)).resize((side, side), Pillow.Resampling.LANCZOS))


def png(picture: Pillow.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def grid(pictures: list[bytes]) -> bytes:
    parts = [Pillow.open(io.BytesIO(data)) for data in pictures]
    wide, high = parts[0].size
    whole = Pillow.new("RGB", (wide * 2, high * ((len(parts) + 1) // 2)))
    for at, part in enumerate(parts):
        whole.paste(part, (at % 2 * wide, at // 2 * high))
    return png(whole)


def preview(picture: bytes, blur: float) -> bytes:
    small = Pillow.open(io.BytesIO(picture)).resize((48, 48)).filter(ImageFilter.GaussianBlur(blur))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=60)
    return out.getvalue()


# -- the house ---------------------------------------------------------------------------------------------


@dataclass
class FakeJob:
    id: int
    account: int
    prompt: str
    place: str
    pictures: list[str]
    created: float
    starred: bool = False
    done: bool = False


@dataclass
class FakeHouse:
    """Everything the page asks for. ``draw(seed)`` makes pictures; a test may give better ones."""

    accounts: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[int, FakeJob] = field(default_factory=dict)
    spent: list[Entry] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    redeemed: list[str] = field(default_factory=list)
    saved: dict[str, Any] = field(default_factory=dict)
    languages: dict[int, str] = field(default_factory=dict)
    unlimited: bool = False
    draw: Any = sticker
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    seeds: itertools.count[int] = field(default_factory=lambda: itertools.count(0))

    async def member(self, who: str) -> bool:
        return who in self.accounts

    async def admit_owner(self, who: str, language: str) -> None:
        self.accounts[who] = 1
        self.languages.setdefault(1, language)

    async def redeem(self, code: str, who: str, language: str) -> None:
        if code != GOOD_CODE:
            raise Refusal("link_expired")
        self.redeemed.append(code)
        self.accounts[who] = 2
        self.languages.setdefault(2, language)

    async def owner(self, who: str) -> bool:
        return self.accounts[who] == 1

    async def leave(self, who: str) -> None:
        self.accounts.pop(who, None)

    async def may_see(self, who: str, digest: str) -> bool:
        account = self.accounts.get(who)
        return any(digest in job.pictures for job in self.jobs.values() if job.account == account)

    async def picture(self, digest: str, *, small: bool) -> bytes:
        if digest not in self.files:
            raise Refusal("picture_gone")
        return self.files[digest]

    async def upload(self, data: bytes) -> str:
        self.uploads.append(self.keep(data))
        return self.uploads[-1]

    async def uploaded(self, picture: Attachment) -> bytes:
        if picture.ref not in self.files:
            raise Refusal("picture_unreachable")
        return self.files[picture.ref]

    def keep(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.files[digest] = data
        return digest

    def about(self, language: str, *, owner: bool) -> dict[str, Any]:
        spanish = language == "es"
        names = {
            "imagine": "Dibuja lo que describes" if spanish else "Draw what you describe",
            "queue": "Lo que espero" if spanish else "What I am waiting for",
            "gallery": "Mis imágenes" if spanish else "My pictures",
            "quota": "Lo que me queda" if spanish else "What I have left",
            "settings": "Lo que suelo querer" if spanish else "What I usually want",
            "models": "Con qué dibujo" if spanish else "What I draw with",
            "help": "Todo lo que se puede pedir" if spanish else "Everything there is",
        }
        commands = [
            {"name": name, "help": text, "aliases": [], "offered": True} for name, text in names.items()
        ]
        commands.append({"name": "mod", "help": "For moderators", "aliases": [], "offered": owner})
        return {"commands": commands, "form": FORM, "settings": FORM, "shapes": ["1:1"]}

    def pack(self, ask: Ask) -> str:
        values = [str(getattr(ask, each.name)) for each in dataclasses.fields(ask)]  # type: ignore[arg-type]
        return ":".join([type(ask).__name__, *(value for value in values if value)])

    def read(self, text: str, press: str, fields: dict[str, Any]) -> Ask | None:
        if text:
            return Imagine(text.removeprefix("/imagine ").strip(), tuple(fields.items()))
        name, *parts = press.split(":")
        if name not in ASKS or not all(part.isdecimal() for part in parts) or not parts:
            raise Refusal("bad_button")
        numbers = [int(part) for part in parts[:2]]
        if name == "Remix":
            return Remix(numbers[0], str(fields.get("prompt", "")))
        make: Any = ASKS[name]
        ask: Ask = make(*numbers)
        return ask

    def changes(self, ask: Ask) -> int | None:
        return ask.job if isinstance(ask, Star | Delete) else None

    def job_of(self, ask: Ask) -> int | None:
        return getattr(ask, "job", None)

    def refused(self, language: str, refusal: Refusal) -> Reply:
        return Reply(
            text={"bad_button": "That button is too old."}.get(refusal.code, refusal.code), tone=Tone.REFUSED
        )

    async def language(self, who: str) -> str:
        return self.languages.get(self.accounts[who], "en")

    async def speak(self, who: str, language: str) -> None:
        self.languages[self.accounts[who]] = language

    async def save(self, who: str, fields: dict[str, Any]) -> None:
        if fields.get("steps") == 13:
            raise Refusal("unlucky")
        self.saved = dict(fields)

    async def follow(self, who: str, job: int) -> AsyncIterator[Reply]:
        yield Reply(
            text="Drawing goes on", prompt=self.jobs[job].prompt, tone=Tone.WAITING, progress=0.5, job=job
        )

    async def past(self, who: str, session: str) -> tuple[Past, ...]:
        mine = [job for job in self.jobs.values() if job.place.startswith(f"web:{session}/")]
        return tuple(
            Past(
                job.place.partition("/")[2],
                job.created,
                job.prompt,
                self.finished(job) if job.done else None,
                job.id,
            )
            for job in mine
        )

    async def pieces(self, who: str, job: int) -> tuple[Kept, ...]:
        found = self.jobs.get(job)
        if found is None or found.account != self.accounts.get(who):
            return ()
        return tuple(self.kept(found, at) for at in range(len(found.pictures) - 1))

    async def card(self, who: str, job: int) -> Reply | None:
        found = self.jobs.get(job)
        return self.finished(found) if found and found.account == self.accounts.get(who) else None

    async def retold(self, who: str, ask: Ask, language: str) -> Reply | None:
        return None

    def kept(self, job: FakeJob, at: int) -> Kept:
        buttons = (
            (
                Button("⭐", Star(job.id, int(job.starred))),
                Button("🔄", Again(job.id)),
                Button("🗑️", Delete(job.id), "danger"),
            ),
        )
        data = self.files.get(job.pictures[at], b"")
        side = int.from_bytes(data[16:20], "big")
        return Kept(
            job.id * 10 + at,
            job.id,
            job.pictures[at],
            job.prompt,
            side,
            side,
            job.starred,
            job.created,
            4_242 + at,
            "builtin",
            buttons=buttons,
        )

    async def gallery(
        self, who: str, language: str, *, before: int | None, starred: bool
    ) -> tuple[Kept, ...]:
        account = self.accounts.get(who)
        mine = [
            job
            for job in self.jobs.values()
            if job.account == account and job.done and (job.starred or not starred)
        ]
        pieces = [self.kept(job, at) for job in mine for at in range(len(job.pictures) - 1)]
        newest = sorted(
            (piece for piece in pieces if before is None or piece.id < before), key=lambda p: -p.id
        )
        return tuple(newest[:PAGE])

    async def queue(self, who: str, language: str) -> tuple[Waiting, ...]:
        waiting = [
            job for job in self.jobs.values() if not job.done and job.account == self.accounts.get(who)
        ]
        return tuple(
            Waiting(
                job.id,
                job.prompt,
                at == 0,
                at,
                8 + 9 * at,
                14 + 15 * at,
                job.created,
                ((Button("Cancel", Cancel(job.id), "danger"),),),
            )
            for at, job in enumerate(waiting)
        )

    async def quota(self, who: str) -> Quota:
        balance = 100_000 + sum(entry.units for entry in self.spent)
        refills = (time.time() // 86_400 + 1) * 86_400
        return Quota(balance, 100_000, self.unlimited, refills, tuple(reversed(self.spent[-20:])))

    async def defaults(self, who: str) -> dict[str, Any]:
        return self.saved

    def hang(self, account: int, prompt: str = "a fox") -> str:
        """A finished job of an account, drawn elsewhere; its digest."""
        digest = self.keep(sticker(account, 32))
        number = next(self.ids)
        self.jobs[number] = FakeJob(number, account, prompt, "test:room", [digest, digest], 1.0, done=True)
        return digest

    # -- drawing

    def begin(self, call: Call, prompt: str, count: int = 4) -> FakeJob:
        pictures = [self.draw(next(self.seeds)) for _ in range(count)]
        whole = [*pictures, grid(pictures)] if count > 1 else [*pictures, pictures[0]]
        job = FakeJob(
            next(self.ids),
            self.accounts.get(call.who, 0),
            prompt,
            call.place,
            [self.keep(each) for each in whole],
            time.time(),
        )
        self.jobs[job.id] = job
        self.spent.append(Entry("reserve", -1_000 * count, time.time(), prompt))
        return job

    def finished(self, job: FakeJob) -> Reply:
        if not job.pictures:
            return Reply(text="Deleted.", prompt=job.prompt, job=job.id)
        whole = job.pictures[-1]
        rows: list[tuple[Button, ...]] = []
        if len(job.pictures) > 2:
            rows += [tuple(Button(f"U{n + 1}", Upscale(job.id, n)) for n in range(4))]
            rows += [tuple(Button(f"V{n + 1}", Vary(job.id, n)) for n in range(4))]
        rows.append(
            (
                Button("🔄", Again(job.id)),
                Button("✏️", Remix(job.id), form="prompt", value=job.prompt),
                Button("🔎", Details(job.id)),
                Button("⭐", Star(job.id, int(job.starred))),
                Button("🗑️", Delete(job.id), "danger"),
            )
        )
        image = Image(self.files[whole], f"{job.id}.png", job.prompt, whole)
        return Reply(
            prompt=job.prompt,
            fields=FACTS,
            images=(image,),
            buttons=tuple(rows),
            tone=Tone.GOOD,
            job=job.id,
        )


BANNED = "The word “ban” is on this community's list.\n\nSay it another way, or ask a moderator."
BUG = "It is not your fault and costs nothing. Try again in a moment."
FACTS = (
    ("Model", "builtin"),
    ("Seed", "4242–4245"),
    ("Size", "256×256"),
    ("Cost", "4 credits"),
    ("Time", "11 s"),
)
WAITS = (
    ("Place", "1 before you"),
    ("Ready in", "12–20 s"),
    ("Cost", "4 credits"),
    ("Left today", "84 credits"),
)
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string", "words": True, "maxLength": 4000},
        "ar": {"type": "string", "pattern": r"\d+:\d+"},
        "no": {"type": "string", "maxLength": 4000},
        "seed": {"type": "integer", "minimum": -1, "maximum": 2**32 - 1},
        "steps": {"type": "integer", "minimum": 1, "maximum": 150},
        "cfg": {"type": "number", "minimum": 0, "maximum": 30},
        "n": {"type": "integer", "minimum": 1, "maximum": 4},
        "model": {"type": "string", "enum": ["builtin"]},
        "style": {"type": "string", "enum": ["3d", "flat", "noto", "blob"]},
        "sampler": {
            "type": "string",
            "enum": ["euler", "euler_a", "ddim", "lcm", "dpmpp_2m", "dpmpp_2m_karras", "unipc"],
        },
    },
}


# -- the conversation --------------------------------------------------------------------------------------


@dataclass
class Talk:
    """Answers calls as the bot would, from a script. ``pace`` is seconds a step of progress takes."""

    web: Web
    house: FakeHouse
    pace: float = 0.05
    quiet: bool = False
    """Only remember the calls."""
    calls: list[Call] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        self.hold.set()
        async for call in self.web.listen():
            self.calls.append(call)
            task = asyncio.create_task(self.answer(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def answer(self, call: Call) -> None:
        if self.quiet:
            return
        async for reply in self.replies(call):
            await self.web.show(call.place, reply)

    async def replies(self, call: Call) -> AsyncIterator[Reply]:
        match call.ask:
            case Imagine() as ask:
                async for reply in self.imagine(call, ask):
                    yield reply
            case Upscale(job, picture):
                digest = self.house.jobs[job].pictures[picture]
                yield Reply(
                    text="512 × 512",
                    prompt=self.house.jobs[job].prompt,
                    job=job,
                    tone=Tone.GOOD,
                    images=(Image(self.house.files[digest], "one.png", self.house.jobs[job].prompt, digest),),
                )
            case Vary(job, _) | Again(job):
                async for reply in self.draw(call, self.house.jobs[job].prompt, 4):
                    yield reply
            case Remix(_, prompt):
                async for reply in self.remix(call, prompt):
                    yield reply
            case Details(job):
                yield Reply(
                    f"This line draws it again:\n/imagine {self.house.jobs[job].prompt} --seed 4242",
                    title="Details",
                    prompt=self.house.jobs[job].prompt,
                    job=job,
                    fields=(
                        ("Model", "builtin"),
                        ("Size", "256 × 256"),
                        ("Steps", "20"),
                        ("Guidance", "4"),
                        ("Sampler", "dpmpp_2m_karras"),
                        ("Seed", "4242"),
                    ),
                )
            case Star(job, off):
                self.house.jobs[job].starred = not off
                undo = Button("Star" if off else "Take the star back", Star(job, int(not off)))
                yield Reply(
                    text="No longer among your favourites." if off else "Kept among your favourites.",
                    tone=Tone.GOOD,
                    buttons=((undo,),),
                )
            case Delete(job, 0):
                yield Reply(
                    text="Delete these four pictures for good?",
                    buttons=((Button("Delete", Delete(job, 1), "danger"),),),
                )
            case Delete(job, _):
                self.house.jobs[job].pictures.clear()
                yield Reply(text="Deleted.", tone=Tone.GOOD)
            case Cancel(job):
                self.house.jobs.pop(job, None)
                yield Reply(text="Cancelled. Nothing was charged.", tone=Tone.GOOD)

    async def remix(self, call: Call, prompt: str) -> AsyncIterator[Reply]:
        if "--size" in prompt:
            yield self.house.refused("en", Refusal("bad_size"))
            return
        async for reply in self.draw(call, prompt, 4):
            yield reply

    async def imagine(self, call: Call, ask: Imagine) -> AsyncIterator[Reply]:
        if "grass ban" in ask.prompt:
            yield Reply(
                title="Not this one",
                text=BANNED,
                tone=Tone.REFUSED,
            )
        elif "two mistakes" in ask.prompt:
            yield Reply(
                "--ar is no --size.\nWrite --ar 3:2\n\nNo such model.\nSee /models.", tone=Tone.REFUSED
            )
        elif "break" in ask.prompt:
            yield Reply(
                title="Something broke (ref 3f2a)",
                text=BUG,
                tone=Tone.BROKEN,
            )
        else:
            async for reply in self.draw(call, ask.prompt, int(dict(ask.options).get("n", 4))):
                yield reply

    async def draw(self, call: Call, prompt: str, count: int) -> AsyncIterator[Reply]:
        job = self.house.begin(call, prompt, count)
        stop = ((Button("Cancel", Cancel(job.id), "danger"),),)
        yield Reply(
            text="In the queue.",
            prompt=prompt,
            fields=WAITS,
            tone=Tone.WAITING,
            job=job.id,
            buttons=stop,
            ends=time.time() + 14,
        )
        await asyncio.sleep(self.pace)
        for step in range(1, 11):
            await self.hold.wait()
            images = tuple(
                Image(preview(self.house.files[digest], (10 - step) / 2), f"{at}.webp", prompt)
                for at, digest in enumerate(job.pictures[:count])
            )
            yield Reply(
                text="",
                prompt=prompt,
                fields=WAITS[1:],
                tone=Tone.WAITING,
                fleeting=True,
                job=job.id,
                buttons=stop,
                progress=step / 10,
                images=images if step > 2 else (),
                ends=time.time() + (10 - step) * 1.3,
            )
            await asyncio.sleep(self.pace)
        job.done = True
        yield self.finish(job)

    def finish(self, job: FakeJob) -> Reply:
        return self.house.finished(job)
