"""The tables of a study: schemas, Parquet files, provenance."""
