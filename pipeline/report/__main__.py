"""Entry point of `python -m pipeline.report`."""

from pipeline import errors
from pipeline.report import main

errors.main(main)
