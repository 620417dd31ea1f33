"""Stage 4: tables, figures and one page, from the Parquet rows of the stages before it."""

from __future__ import annotations


def main() -> None:
    """Write the report of the study in `params.yaml` into `reports/`."""
    from pipeline.params import load_params

    load_params()  # refuse a wrong study before the plotting libraries, which take seconds
    from pipeline.report.build import main as build

    build()
