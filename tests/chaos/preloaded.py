"""What the fork server imports before it forks drivers."""

import fake_study  # noqa: F401
import nursery  # noqa: F401
import torch

from pipeline.execution import engine  # noqa: F401

torch.set_num_threads(1)
