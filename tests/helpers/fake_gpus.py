"""Tasks on a local Ray with declared GPUs. As a script it prints which GPU each task was given.

`fake_gpus.py GPUS SHARE TASKS`.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.execution.ray_private import set_environment
from pipeline.execution.tasks import Context, Result, Task


def noted(task: Task, data: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Return the GPU, the device that a training would use, and when.

    The first tasks end when there are as many as places: workers take seconds to start.
    """
    import ray

    [gpu] = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    begun = time.time()
    Path(f"begun-{task.key}").touch()
    while len(list(Path().glob("begun-*"))) < data["places"] and time.time() < begun + 60:
        time.sleep(0.05)
    seen = {"gpu": gpu, "device": context.device, "begun": begun, "ended": time.time()}
    return {"row": {"status": "completed"}, "epochs": [], "seen": seen}


class Source:
    """So many tasks, whose results are kept."""

    def __init__(self, count: int) -> None:
        self.waiting = deque(Task(str(number), {}) for number in range(count))
        self.count, self.results = count, list[Any]()

    @property
    def exhausted(self) -> bool:
        return len(self.results) == self.count

    def next(self) -> Task | None:
        return self.waiting.popleft() if self.waiting else None

    def finish(self, task: Task, result: Result) -> None:
        self.results.append(result.value["seen"])

    def epoch(self, task: Task, row: dict[str, Any]) -> None: ...

    def note(self, text: str) -> None: ...

    def machines(self, text: str) -> None: ...


def main() -> None:
    """Run the tasks and print what they returned."""
    import fake_gpus

    gpus, share, count = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    set_environment(local=True)
    from pipeline.execution.ray_engine import RayTune

    class Declared(RayTune):
        def local_options(self, data: Mapping[str, Any]) -> dict[str, Any]:
            return {**super().local_options(data), "num_gpus": gpus}

    engine = Declared(
        address="local",
        slots=round(gpus / share),
        cpus=0.1,
        gpus=share,
        memory=0,
        limit=60,
        patience=30,
        scratch=Path("ray"),
    )
    source = Source(count)
    engine.run(fake_gpus.noted, source, {"places": engine.slots})
    print(json.dumps(source.results))


if __name__ == "__main__":
    main()
