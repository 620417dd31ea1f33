"""Data sets: which there are, how each is read, split and drawn, and prepared ones for training."""

from pipeline.datasets.registry import SOURCES, Source
from pipeline.datasets.store import Dataset, Split, load_dataset

__all__ = ["SOURCES", "Dataset", "Source", "Split", "load_dataset"]
