"""Send large results to the driver in parts that fit any memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pipeline.common.units import size
from pipeline.execution.tasks import Result

__all__ = ["MOST", "PART", "PartBuffer", "split"]

# Bytes of a part; what is no larger stays in the result. And bytes that a task may bring at all.
PART, MOST = 4 << 20, 8 << 30


@dataclass(frozen=True)
class Placeholder:
    """Stands in a result for bytes that came before it."""

    length: int


def split(result: Result, send: Callable[[bytes], None]) -> Result:
    """Send the large bytes of a result in parts; return the result without them.

    Where they are too many the result is a failure that says so.
    """
    value = result.value if isinstance(result.value, dict) else {}
    large = {k: v for k, v in value.items() if isinstance(v, bytes) and len(v) > PART}
    if not large:
        return result
    total = sum(map(len, large.values()))
    if total > MOST:
        reason = f"its {', '.join(large)} of {size(total)} are more than the {size(MOST)} that a "
        return replace(result, status="failed", value=None, reason=reason + "task may bring")
    for content in large.values():
        view = memoryview(content)
        for start in range(0, len(content), PART):
            send(bytes(view[start : start + PART]))
    light = {name: Placeholder(len(content)) for name, content in large.items()}
    return replace(result, value={**value, **light})


@dataclass
class PartBuffer:
    """The parts that workers have sent and whose results are still to come."""

    kept: defaultdict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray))

    def add(self, worker: str, part: bytes) -> None:
        """Take a part."""
        self.kept[worker] += part

    def drop(self, worker: str) -> None:
        """Forget what a worker sent that ended."""
        self.kept.pop(worker, None)

    def join(self, worker: str, result: Result) -> Result:
        """Put the parts back where they belong.

        Raises
        ------
        ValueError
            There are more or fewer bytes than the result says.
        """
        content = memoryview(bytes(self.kept.pop(worker, b"")))
        value = dict(result.value) if isinstance(result.value, dict) else {}
        start = 0
        for name, placeholder in value.items():
            if isinstance(placeholder, Placeholder):
                value[name] = bytes(content[start : start + placeholder.length])
                start += placeholder.length
        if start != len(content):
            raise ValueError(f"{len(content):,} bytes came for a result of {start:,}")
        return replace(result, value=value) if start else result
