"""Files of a version of the study, out of git and DVC's cache, without checking it out."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.common.documents import read_json
from pipeline.common.errors import UserError
from pipeline.common.failures import brief
from pipeline.results.provenance import git_environment
from pipeline.study.params import parse_yaml

__all__ = ["WORKSPACE", "Version", "Workspace", "git", "open_version", "run_dvc"]

# A stage's dependencies and outputs: checksums by path.
Stages = dict[str, tuple[dict[str, str], dict[str, str]]]
CHECKSUM = re.compile(r"[0-9a-f]{32}(\.dir)?")
FETCH = "run `dvc fetch --all-tags` to bring it again from the remote"
LOCK_BYTES, LOCK_DEPTH = 8 << 20, 16
WORKSPACE = "workspace"  # what lies in the folders now, pinned or not


def git(*arguments: str) -> str:
    """Run git in the current folder and return what it prints, or raise a `UserError`."""
    return _git(*arguments).decode("utf-8", "replace").strip()


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            check=False,
            timeout=120,
            env=git_environment(),
        )
    except FileNotFoundError:
        raise UserError("needs git, which is not on the PATH: install it") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"git {arguments[0]} cannot be run: {error}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
        # All of its lines: the last ones name the command that helps.
        raise UserError(f"git {arguments[0]}: {brief(' '.join(said.split()), 600)}")
    return done.stdout


def run_dvc(*arguments: str) -> str:
    """Run DVC in the current folder and return what it prints, or raise a `UserError`."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise UserError(f"dvc {arguments[0]}: {brief(said)}")
    return done.stdout.strip()


@dataclass(frozen=True)
class Version:
    """A git revision whose outputs lie in DVC's cache."""

    name: str
    commit: str
    cache: Path

    @cached_property
    def lock(self) -> Stages:
        """The stages of `dvc.lock`: what every stage read and wrote, with checksums."""
        return _stages(self.text("dvc.lock"), self.name)

    def made_with(self) -> dict[str, Any]:
        """The parameters of the results."""
        return _parameters(self.text("dvc.lock"), self.name)

    def text(self, path: str) -> str | None:
        """Return a file that git holds, None where this version has none."""
        try:
            return _git("show", f"{self.commit}:{path}").decode("utf-8", "replace")
        except UserError:
            return None

    def outputs(self, folder: str) -> dict[str, Path]:
        """Return the files below an output folder, by their path in it, as they lie in the cache.

        Raises
        ------
        UserError
            When the cache lacks some of them.
        """
        checksum = self.checksum(folder)
        if checksum is None:
            return {}
        listing = read_json(self._cached(checksum, folder), FETCH)
        found = _entries(listing, "relpath", f"{self.name}: the list of the files of {folder}")
        return {path: self._cached(md5, f"{folder}/{path}") for path, md5 in found.items()}

    def checksum(self, folder: str) -> str | None:
        """Return what `dvc.lock` says an output folder's checksum is."""
        return next((outs[folder] for _, outs in self.lock.values() if folder in outs), None)

    def _cached(self, checksum: str, path: str) -> Path:
        file = self.cache / "files" / "md5" / checksum[:2] / checksum[2:]
        if not file.is_file():
            raise UserError(
                f"{self.name}: {path} is not in DVC's cache: run `dvc fetch --all-tags`, which "
                "brings it from the remote it was pushed to"
            )
        return file


@dataclass(frozen=True)
class Workspace:
    """The files as they lie in the folders now."""

    name: str = WORKSPACE
    commit: str = "HEAD"

    @cached_property
    def lock(self) -> Stages:
        """The stages of `dvc.lock`."""
        return _stages(self.text("dvc.lock"), self.name)

    def made_with(self) -> dict[str, Any]:
        """The parameters of the results."""
        return _parameters(self.text("dvc.lock"), self.name)

    def text(self, path: str) -> str | None:
        """Return a file, None where there is none."""
        file = Path(path)
        return file.read_bytes().decode("utf-8", "replace") if file.is_file() else None

    def outputs(self, folder: str) -> dict[str, Path]:
        """Return the files below an output folder by their path in it."""
        files = (file for file in Path(folder).rglob("*") if file.is_file())
        return {file.relative_to(folder).as_posix(): file for file in sorted(files)}


def open_version(name: str) -> Version | Workspace:
    """Open a tag, a commit or `workspace`.

    Raises
    ------
    UserError
        For a name that git does not know.
    """
    if name == WORKSPACE:
        return Workspace()
    try:
        commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except UserError:
        known = git("tag", "--sort=-creatordate").split()
        tags = f"tags are {', '.join(known[:8])}" if known else "there is no tag yet"
        if git("rev-parse", "--is-shallow-repository") == "true":
            tags += "; this clone is shallow: run `git fetch --unshallow --tags`"
        raise UserError(f"{name!r} is no version that git knows ({tags})") from None
    return Version(name, commit, Path(run_dvc("cache", "dir")))


def _parsed(text: str | None, name: str) -> dict[str, dict[str, Any]]:
    """The stages of a `dvc.lock` as DVC wrote them."""
    if text is None:
        raise UserError(f"{name}: has no dvc.lock, so it holds no results: run `dvc repro` there")
    where = f"{name}: dvc.lock"
    values = parse_yaml(text, where, LOCK_BYTES, LOCK_DEPTH).values
    stages = values.get("stages") if isinstance(values, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(s, dict) for s in stages.values()):
        raise UserError(f"{where}: holds no stages; restore the file that DVC wrote")
    return stages


def _parameters(text: str | None, name: str) -> dict[str, Any]:
    """Values of `params.yaml` that the stages of a `dvc.lock` read, by key or section."""
    found: dict[str, Any] = {}
    for stage in _parsed(text, name).values():
        files = stage.get("params")
        read = files.get("params.yaml") if isinstance(files, dict) else None
        found |= read if isinstance(read, dict) else {}
    return {str(key): value for key, value in found.items()}


def _stages(text: str | None, name: str) -> Stages:
    where = f"{name}: dvc.lock"
    return {
        stage: (
            _entries(entry.get("deps", []), "path", f"{where}: {stage}"),
            _entries(entry.get("outs", []), "path", f"{where}: {stage}"),
        )
        for stage, entry in _parsed(text, name).items()
    }


def _entries(items: Any, key: str, where: str) -> dict[str, str]:
    """Return the checksums of a list by path; a file that others wrote may hold anything there.

    Raises
    ------
    UserError
        An entry has no path within the project, or its checksum has another shape than MD5's.
    """
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UserError(f"{where}: is no list of files; restore the file that DVC wrote")
    found = {}
    for item in items:
        path, md5 = item.get(key), item.get("md5")
        if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
            raise UserError(f"{where}: {path!r} is no path within the project; restore the file")
        if not isinstance(md5, str) or not CHECKSUM.fullmatch(md5):
            raise UserError(f"{where}: {path}: {md5!r} is no checksum of DVC; restore the file")
        found[path] = md5
    return found
