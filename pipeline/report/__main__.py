"""Write tables, figures and the page: reports/."""

from pipeline.common.commands import run_as

run_as("report")
