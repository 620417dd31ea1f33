"""Stage 4: tables, figures and one page, from the Parquet rows of the stages before it."""
