"""What the fork server imports before it forks drivers."""

import driver_processes  # noqa: F401
import fake_study  # noqa: F401
import torch

from pipeline.execution import engine  # noqa: F401
from pipeline.execution.code_dependencies import code_of

torch.set_num_threads(1)
# A file is read once a process, so the drivers need not read it again.
for stage in ("sweep", "confirm"):
    code_of(stage)
