"""Keep this state of the study under a name: commit its results and tag them."""

from __future__ import annotations

from argparse import Namespace

from pipeline.common.documents import parse_json
from pipeline.common.errors import UserError
from pipeline.tools.support.history import Version, git, open_version, run_dvc

__all__ = ["main", "pin"]

ARGUMENTS = {
    "name": {"help": "of the version, which becomes a tag of git"},
    "-m": {"dest": "message", "required": True, "metavar": "TEXT", "help": "what it is"},
}
# What `dvc repro` writes and git holds: part of the version, committed with it.
RESULTS = ("dvc.lock", "reports", "data/.gitignore")


def main(given: Namespace) -> None:
    """Pin, and say how to push the version and how to bring it back."""
    commit = pin(given.name, given.message)
    print(
        f"pinned {given.name} at commit {commit[:12]}\n"
        f"keep it elsewhere:  git push origin HEAD {given.name} && dvc push\n"
        f"bring it back:      git checkout {given.name} && dvc checkout   "
        "(in a fresh clone: dvc pull)\n"
        f"compare with now:   python -m pipeline compare {given.name} workspace"
    )
    if not run_dvc("remote", "list"):
        print(
            "no remote yet:      a clone of this version does not know where its results are; to "
            "share it, run `dvc remote add --default store FOLDER-OR-ADDRESS`, commit .dvc/config "
            "and pin under another name"
        )


def pin(name: str, message: str) -> str:
    """Commit the results and tag them; return the commit.

    Raises
    ------
    UserError
        When the name is taken or no tag's name, when there are changes that are not committed,
        when a stage is out of date, or when DVC's cache lacks a result. Nothing is changed then.
    """
    _check_name(name)
    _check_identity()
    _check_tree()
    _check_stages()
    present = [path for path in RESULTS if git("status", "--porcelain", "--", path)]
    if present:
        git("add", "--", *present)
        git("commit", "--message", f"Pin {name}: {message}", "--", *present)
    commit = git("rev-parse", "HEAD")
    _check_cache(name)
    git("tag", "--annotate", "--message", message, "--", name)
    return commit


def _check_name(name: str) -> None:
    try:
        git("check-ref-format", "--allow-onelevel", f"tags/{name}")
    except UserError:
        raise UserError(f"{name!r} cannot be a tag: use letters, digits, . - and _") from None
    if name.startswith("-") or name == "workspace":
        raise UserError(f"{name!r} cannot be a tag: use another name")
    if git("tag", "--list", name):
        raise UserError(f"{name!r} is pinned already: use another name, a version never changes")


def _check_identity() -> None:
    try:
        git("var", "GIT_COMMITTER_IDENT")
    except UserError:
        raise UserError(
            "git does not know your name: run `git config --global user.name NAME` and "
            "`git config --global user.email ADDRESS`"
        ) from None


def _check_tree() -> None:
    excluded = [f":(exclude){path}" for path in RESULTS]
    changed = git("status", "--porcelain", "--", ".", *excluded).splitlines()
    if changed:
        files = ", ".join(line.split(maxsplit=1)[1] for line in changed[:4])
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        raise UserError(
            f"there are changes that no version would hold ({files}{more}): commit them, or "
            "remove them, then run `dvc repro` and pin again"
        )


def _check_stages() -> None:
    said = run_dvc("status", "--json")
    stale = parse_json(said, "`dvc status --json`", "see what `dvc status` says")
    if stale:
        raise UserError(
            f"the results are out of date (stages: {', '.join(sorted(stale))}): run `dvc repro`, "
            "then pin again"
        )


def _check_cache(name: str) -> None:
    """Every file of the version has to be where `compare` and `dvc checkout` look for it."""
    version = open_version("HEAD")
    assert isinstance(version, Version)
    for _, outs in version.lock.values():
        for path in outs:
            if path.startswith("data/"):
                version.outputs(path)
