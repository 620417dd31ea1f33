"""Collect the provenance of a result: code, parameters, data, packages and machine."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.common.errors import UserError
from pipeline.common.files import json_text
from pipeline.results.schemas import SCHEMA_VERSION
from pipeline.study.symmetry import findings, recommendation, recommended_group

# Packages that results and proposals depend on.
LIBRARIES = ("torch", "numpy", "optuna", "cmaes", "scipy")
_PACKAGES = (*LIBRARIES, "ray", "pyarrow")
# Keys of a provenance other than code, parameters and data.
ENVIRONMENT = ("python", "system", "machine", *_PACKAGES)
MOST_NAMES = 100  # of classes: every table's file carries them
# Names the commit where there is no git, as on a machine that was sent the files alone.
COMMIT = "GSA_COMMIT"
_ROOT = Path(__file__).resolve().parents[2]
# Files that a study itself rewrites do not make its code dirty.
_WRITTEN_BY_RUNS = (":(exclude)dvc.lock", ":(exclude)reports", ":(exclude)data")


def provenance(
    params: BaseModel | Mapping[str, Any], data_card: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the provenance that every table's file carries.

    Parameters
    ----------
    params
        The study's parameters. ``resources`` is left out of the hash: it says where and how fast
        a study runs, never what comes out.
    data_card
        The card of the prepared data set, or None for what needs no data.

    Returns
    -------
    dict
        ``schema_version git_commit git_dirty params_sha256 data_sha256 python system machine``
        and the versions of the packages that shape a result. Unknown values (no git,
        no repository, no GSA_COMMIT) are None. ``data_notes`` where the card has notes, and
        ``data_symmetry`` where it says something of the symmetry: the known one of the labels,
        the number of classes, and what was found and is recommended, in words and as a group.
        ``class_names`` where the card has names of at most `MOST_NAMES` classes.
    """
    values = params.model_dump(mode="json") if isinstance(params, BaseModel) else dict(params)
    values.pop("resources", None)
    commit, dirty = _commit()
    return {
        "schema_version": SCHEMA_VERSION,
        "git_commit": commit,
        "git_dirty": dirty,
        "params_sha256": digest(values),
        "data_sha256": None if data_card is None else data_digest(data_card),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        **{name: _version(name) for name in _PACKAGES},
        **({"data_notes": notes} if (notes := _notes(data_card or {})) else {}),
        **({"data_symmetry": found} if (found := _symmetry(data_card or {})) else {}),
        **({"class_names": names} if (names := _class_names(data_card or {})) else {}),
    }


def data_digest(card: Mapping[str, Any]) -> str:
    """Return a hash of what a data set holds.

    Neither versions of packages nor what depends on them: measured symmetry and pictures.
    """
    values = {key: value for key, value in card.items() if key not in ("symmetry", "versions")}
    if "files" in values:
        files = values["files"].items()
        values["files"] = {name: one for name, one in files if not name.endswith(".png")}
    return digest(values)


def _symmetry(card: Mapping[str, Any]) -> dict[str, Any] | None:
    symmetry = card.get("symmetry")
    if not symmetry:
        return None
    return {
        "labels": symmetry["labels"],
        "classes": card["classes"],
        "findings": list(findings(symmetry)),
        "recommendation": recommendation(symmetry),
        "group": recommended_group(symmetry),
    }


def _class_names(card: Mapping[str, Any]) -> list[str]:
    names = [str(name) for name in card.get("class_names") or ()]
    return names if len(names) <= MOST_NAMES else []


def given_commit(environment: Mapping[str, str] = os.environ) -> tuple[str | None, bool | None]:
    """Return the commit that GSA_COMMIT names, and whether files were changed since.

    Raises
    ------
    UserError
        It is no commit's hash with or without ``-dirty`` after it.

    Examples
    --------
    >>> given_commit({"GSA_COMMIT": 10 * "0a1b" + "-dirty"})
    ('0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b', True)
    >>> given_commit({})
    (None, None)
    """
    given = environment.get(COMMIT)
    if not given:
        return None, None
    found = re.fullmatch(r"([0-9a-f]{40}|[0-9a-f]{64})(-dirty)?", given)
    if found is None:
        raise UserError(
            f"{COMMIT}: got {given[:80]!r}; accepts the 40 hexadecimal digits that "
            "`git rev-parse HEAD` prints, with -dirty after them if files were changed"
        )
    return found[1], found[2] is not None


def _commit() -> tuple[str | None, bool | None]:
    """Return commit and dirtiness, of git where it knows these files, else as given."""
    return _commit_of(_ROOT, __file__) or given_commit()


@cache
def _commit_of(root: Path, file: str) -> tuple[str | None, bool | None] | None:
    """Ask git, once a process: the code that it runs is that of its start."""
    # A repository around this folder may not contain it.
    if _git(root, "ls-files", "--error-unmatch", "--", file) is None:
        return None
    known = ("status", "--porcelain", "--untracked-files=no", "--", ".", *_WRITTEN_BY_RUNS)
    status = _git(root, *known)
    return _git(root, "rev-parse", "HEAD"), None if status is None else bool(status)


def _notes(card: Mapping[str, Any]) -> list[str]:
    """Return notes on how the data were interpreted, and what was left out."""
    small = [
        f"the class {name} ({count:,} images) is left out, being below min_count"
        for name, count in card.get("classes_left_out", {}).items()
        if count
    ]
    bad = int(card.get("skipped", {}).get("count", 0))
    return [*card.get("notes", []), *small, *([f"bad images left out: {bad:,}"] if bad else [])]


def _git(root: Path, *arguments: str) -> str | None:
    # With optional locks a commit in another terminal would fail while a study runs.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            check=True,
            env=git_environment(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def git_environment() -> dict[str, str]:
    """Return the environment without variables that point git to another repository."""
    elsewhere = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")
    return {name: value for name, value in os.environ.items() if name not in elsewhere}


def digest(value: Any) -> str:
    """Hash a JSON value."""
    return hashlib.sha256(json_text(value).encode()).hexdigest()


@cache
def _version(package: str) -> str | None:
    """Return a package's version, or None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
