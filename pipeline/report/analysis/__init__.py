"""Numbers of the report: cells, intervals, comparisons, checks."""
