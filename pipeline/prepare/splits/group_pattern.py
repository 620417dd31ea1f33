"""Find groups in names by a user's regular expression, within a time limit.

An expression with repeats inside repeats, such as ``(a+)+$``, may take exponential time, and
Python's `re` has no time limit: the search runs in a process that can be ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from pipeline.common.errors import UserError

# Seconds for all names together: ten thousand times what a plain pattern takes for a few.
SECONDS, SECONDS_A_NAME = 10.0, 1e-4
SEARCH = """
import json, re, sys
asked = json.load(sys.stdin)
pattern = re.compile(asked["pattern"])
matches = [pattern.search(text) for text in asked["texts"]]
json.dump([m and [m[1] if pattern.groups else m[0]] for m in matches], sys.stdout)
"""


def groups_found(pattern: str, texts: Sequence[str]) -> list[str | None]:
    """Search each text for a regular expression; return its first group, or all that it matches.

    Raises
    ------
    UserError
        A text does not hold the pattern, or the search takes too long.
    """
    seconds = SECONDS + SECONDS_A_NAME * len(texts)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", SEARCH],
            input=json.dumps({"pattern": pattern, "texts": list(texts)}),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"group_pattern {pattern!r} has not found the groups of {len(texts):,} images in "
            f"{seconds:.0f} s: write it without repeats inside repeats, such as (a+)+"
        ) from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise UserError(f"group_pattern {pattern!r} cannot be used: {last}") from None
    found = json.loads(done.stdout)
    for text, match in zip(texts, found, strict=True):
        if match is None:
            raise UserError(
                f"group_pattern {pattern!r} is not found in {text!r}: change the pattern so that "
                "it finds the group of every image"
            )
    return [match[0] for match in found]
