"""What the fork server imports before it forks drivers."""

import fake_study  # noqa: F401
import nursery  # noqa: F401
import torch

from pipeline.execution import engine  # noqa: F401
from pipeline.execution.source_code import code_of

torch.set_num_threads(1)
# A file is read once a process, so the drivers need not read it again.
for stage in ("sweep", "confirm"):
    code_of(stage)
