"""Entry point of `python -m pipeline.report`."""

from pipeline import report
from pipeline.arguments import run_alone

run_alone(report.main, "pipeline.report", report.__doc__)
