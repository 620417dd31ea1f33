"""Find the files of a published data set, verify them, and download missing ones."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.prepare.fetch.download import checksum_name, download, file_checksum

FOLDER_VARIABLE = "GSA_DATA"


@dataclass(frozen=True)
class RawFile:
    """One file as its authors published it.

    Attributes
    ----------
    bytes
        Its size, or None where only the checksum is published.
    checksum
        SHA-256, or MD5 where that is what its authors give, as hexadecimal digits.
    addresses
        Tried in their order.
    """

    name: str
    bytes: int | None
    checksum: str
    addresses: tuple[str, ...]

    @property
    def described(self) -> str:
        """Size and checksum in words."""
        size = f"{self.bytes:,} bytes, " if self.bytes else ""
        return f"{size}{checksum_name(self.checksum)} {self.checksum}"


def find_files(source: str, files: Iterable[RawFile]) -> dict[str, Path]:
    """Return the verified path of each file; missing files are downloaded.

    Files are looked for in ``$GSA_DATA/<source>/`` if that variable is set, else in
    ``data/raw/<source>/``, and fetched to there.

    Raises
    ------
    UserError
        For a file that is not the published one, and for a missing one that cannot be fetched.
    """
    folder = Path(os.environ.get(FOLDER_VARIABLE) or "data/raw") / source
    return {file.name: _find(folder, file) for file in files}


def missing_files(source: str, files: Iterable[RawFile]) -> list[Path]:
    """Return the expected paths of missing files, without downloading or reading any."""
    folder = Path(os.environ.get(FOLDER_VARIABLE) or "data/raw") / source
    return [folder / file.name for file in files if not (folder / file.name).is_file()]


def _find(folder: Path, file: RawFile) -> Path:
    path = folder / file.name
    if not path.is_file():
        _fetch(path, file)
        return path
    try:
        actual = file_checksum(path, file.checksum)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if actual != file.checksum:
        raise UserError(
            f"{path}: its {checksum_name(file.checksum)} is {actual}, but the published file has "
            f"{file.checksum}: remove it, and it will be fetched again"
        )
    return path


def _fetch(path: Path, file: RawFile) -> None:
    problems = []
    for address in file.addresses:
        try:
            download(address, path, size=file.bytes, checksum=file.checksum)
            return
        except (OSError, ValueError) as error:
            problems.append(str(getattr(error, "reason", error)) or type(error).__name__)
    raise UserError(
        f"{path}: is missing and cannot be fetched ({'; '.join(dict.fromkeys(problems))}): put "
        f"{file.addresses[0]} there ({file.described}), or name the "
        f"folder that holds {path.parent.name}/{path.name} in {FOLDER_VARIABLE}"
    )
