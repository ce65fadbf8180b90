"""The art and its words: npm packages by name and version, refused unless their checksum is known."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Package:
    """One npm package; `sha256` is that of the tarball that `npm pack` writes."""

    name: str
    version: str
    sha256: str

    @property
    def tarball(self) -> str:
        """The file name that `npm pack` gives it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


# Style word -> art. MIT (Microsoft Fluent) and Apache-2.0 (Google Noto) only: a model that has
# learned CC-BY art by heart would burden every picture that members make with an attribution.
ART: dict[str, Package] = {
    "3d": Package(
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
    ),
    "flat": Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    "noto": Package(
        "@iconify-json/noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"
    ),
    "blob": Package(
        "@iconify-json/noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"
    ),
}
WORDS = Package(
    "emojibase-data", "17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a"
)


class WrongChecksumError(Exception):
    """A downloaded package is not the one that the model was trained on."""


def fetch(package: Package, folder: Path) -> Path:
    """Return the package's tarball in `folder`, downloading it with npm when it is not there.

    Raises WrongChecksumError when the bytes differ from the pinned ones, and CalledProcessError
    when npm cannot reach its registry.
    """
    path = folder / package.tarball
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = f"{package.name}@{package.version}"
        npm = shutil.which("npm") or "npm"
        command = [npm, "pack", "--silent", wanted]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  our constants
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise WrongChecksumError(f"{path.name}: sha256 is {found}, expected {package.sha256}")
    return path


def fetch_all(folder: Path) -> None:
    """Fetch every package that training reads."""
    for package in (*ART.values(), WORDS):
        fetch(package, folder)


def read_json(tarball: Path, member: str) -> Any:
    """Parse `package/<member>` of an npm tarball."""
    with tarfile.open(tarball) as archive:
        file = archive.extractfile(f"package/{member}")
        if file is None:
            raise FileNotFoundError(f"{member} in {tarball.name}")
        return json.load(file)
