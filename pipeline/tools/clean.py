"""List what no version of the study needs, with its size, and remove it when asked to.

That is unfinished work in `.state` of other parameters, data or code, and files in DVC's cache
that neither the folders now, nor a branch, a tag or an experiment of DVC refers to. What a pinned
version refers to is never removed.
"""

from __future__ import annotations

import re
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.units import size
from pipeline.confirm import stage as confirm
from pipeline.execution.stage_inputs import read_cards
from pipeline.execution.state_folder import ROOT, holder, stage_lock, state_path
from pipeline.study.params import load_params, parse_yaml
from pipeline.study.schema import Params
from pipeline.sweep import stage as sweep
from pipeline.tools.support.history import LOCK_BYTES, LOCK_DEPTH, git, run_dvc

__all__ = ["main", "old_state", "referenced", "unreferenced"]

ARGUMENTS = {"--yes": {"action": "store_true", "help": "remove without asking"}}
STAGES = ("sweep", "confirm")  # those that keep unfinished work
CHECKSUM = re.compile(r"\b[0-9a-f]{32}(?:\.dir)?\b")
REMOTE = "refs/remotes/"  # how git's names of branches elsewhere begin
LISTED = 8  # of a kind; the largest


@dataclass(frozen=True)
class LockFile:
    """A `dvc.lock` or `.dvc` file: of a version and its commit, or as it is in the folders now."""

    path: str
    text: str
    version: str = ""
    commit: str = ""

    def git_holds(self, output: str) -> bool:
        """Whether git has files of an output, which DVC's cache then has not (`cache: false`)."""
        path = (Path(self.path).parent / output).as_posix()
        if self.commit:
            return bool(git("ls-tree", "-r", "--name-only", self.commit, "--", path))
        return bool(git("ls-files", "--", path))


@dataclass(frozen=True)
class Unneeded:
    """A file or folder that no version needs, and its bytes."""

    path: Path
    bytes: int


def main(given: Namespace) -> None:
    """List, ask, remove."""
    found = {
        "unfinished work of other parameters, data or code": old_state(load_params()),
        "results in DVC's cache that no version refers to": unreferenced(),
    }
    for kind, items in found.items():
        print("\n".join(_listed(kind, items)))
    items = [item for part in found.values() for item in part]
    if not items:
        return
    whole = size(sum(item.bytes for item in items))
    if not given.yes and not _agreed(f"remove all of it, {whole}? [y/N] "):
        print("nothing was removed")
        return
    remove(items)
    print(f"removed {whole}")


def old_state(params: Params) -> list[Unneeded]:
    """Unfinished work that the study as it is now does not continue, of stages not running."""
    if not ROOT.resolve().is_relative_to(Path.cwd()):
        print(f"{ROOT} lies outside of this project and may be others', so it is left as it is")
        return []
    kept = {state_path("confirm", confirm.definition())}
    stages = [stage for stage in STAGES if not _is_running(stage)]
    try:
        cards = read_cards(params.prepare)
    except UserError:  # what a sweep of them would continue is not known
        print(f"the data are not prepared, so {ROOT / 'sweep'} is left as it is")
        stages = [stage for stage in stages if stage != "sweep"]
    else:
        kept |= {state_path("sweep", sweep.definition(params, card)) for card in cards.values()}
    folders = [
        path.parent for stage in stages for path in sorted((ROOT / stage).glob("*/definition.json"))
    ]
    return [Unneeded(folder, _bytes(folder)) for folder in folders if folder not in kept]


def unreferenced() -> list[Unneeded]:
    """Files of DVC's cache that no version refers to.

    Raises
    ------
    UserError
        A version's list of files is damaged or not here, so that nothing says what it refers to.
    """
    cache = Path(run_dvc("cache", "dir"))
    if not cache.resolve().is_relative_to(Path.cwd()):
        print(f"{cache} is a cache outside of this project, perhaps of others too: left as it is")
        return []
    store = cache / "files" / "md5"
    known = set().union(*(referenced(lock, store) for lock in _lock_files()))
    files = (path for path in sorted(store.glob("??/*")) if path.is_file())
    return [
        Unneeded(path, path.stat().st_size)
        for path in files
        if path.parent.name + path.name not in known
    ]


def referenced(lock: LockFile, store: Path) -> set[str]:
    """Checksums that a `dvc.lock` or `.dvc` file names, and those of the files in its folders.

    Of a branch of a remote, such as the one that was cloned, the results may never have been here;
    they are where that branch was pushed from. Outputs that git holds are not in the cache.
    """
    text, where = lock.text, f"{lock.version}: {lock.path}" if lock.version else lock.path
    found = set(CHECKSUM.findall(text))
    outputs = dict(_outputs(parse_yaml(text, where, LOCK_BYTES, LOCK_DEPTH).values))
    if lock.version.startswith(REMOTE):
        outputs = {}
    for checksum in [one for one in found if one.endswith(".dir")]:
        listing = store / checksum[:2] / checksum[2:]
        if listing.is_file():
            found |= set(CHECKSUM.findall(listing.read_text(encoding="utf-8")))
        elif checksum in outputs and not lock.git_holds(outputs[checksum]):
            raise UserError(
                f"{where}: the list of the files of an output is not in DVC's cache, so nothing "
                "says which of them this version needs: run `dvc fetch --all-tags`, or for the "
                "files in the folders now `dvc repro`, first"
            )
    return found


def _outputs(values: Any) -> Iterator[tuple[str, str]]:
    """Checksums of outputs with their paths, wherever they stand in a file of DVC."""
    inner = values.values() if isinstance(values, dict) else values
    if isinstance(values, dict) and isinstance(values.get("outs"), list):
        yield from (
            (str(out["md5"]), str(out.get("path"))) for out in values["outs"] if "md5" in out
        )
    if isinstance(values, dict | list):
        for value in inner:
            yield from _outputs(value)


def _lock_files() -> Iterator[LockFile]:
    """DVC's files in the folders now, and in HEAD and whatever git has names for.

    Those are tags, branches, stashes and experiments of DVC.
    """
    tracked = git("ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for path in filter(_is_of_dvc, tracked):
        if Path(path).is_file():
            yield LockFile(path, Path(path).read_text(encoding="utf-8"))
    named = git("for-each-ref", "--format=%(objectname) %(refname)").splitlines()
    for commit, _, reference in (line.partition(" ") for line in [*named, "HEAD HEAD"]):
        name = re.sub("^refs/(heads|tags)/", "", reference)
        for path in git("ls-tree", "-r", "--full-tree", "--name-only", commit).splitlines():
            if _is_of_dvc(path):
                yield LockFile(path, git("show", f"{commit}:{path}"), name, commit)


def _is_of_dvc(path: str) -> bool:
    return path.endswith(".dvc") or Path(path).name == "dvc.lock"


def remove(items: Sequence[Unneeded]) -> None:
    """Remove files and folders, under the locks of the stages whose work they are."""
    with ExitStack() as locks:
        for stage in STAGES:
            if any(item.path.is_relative_to(ROOT / stage) for item in items):
                locks.enter_context(stage_lock(stage))
        for item in items:
            if item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.chmod(0o644)  # DVC protects what it keeps
                item.path.unlink()


def _is_running(stage: str) -> bool:
    if (who := holder(stage)) is None:
        return False
    print(f"{stage} is running here ({who}), so its work is left as it is")
    return True


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _listed(kind: str, items: Sequence[Unneeded]) -> Iterator[str]:
    yield f"{kind}: {len(items)}, {size(sum(item.bytes for item in items))}"
    for item in sorted(items, key=lambda item: (-item.bytes, item.path))[:LISTED]:
        yield f"  {size(item.bytes):>10}  {item.path}"
    if len(items) > LISTED:
        yield f"  and {len(items) - LISTED} smaller"


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        print("give --yes to remove it")
        return False
    return input(question).strip().lower() in ("y", "yes")
