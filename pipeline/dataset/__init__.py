"""What a prepared data set is: splits that are memory-mapped and checked against their card."""

from pipeline.dataset.store import Dataset, Split, load_dataset

__all__ = ["Dataset", "Split", "load_dataset"]
