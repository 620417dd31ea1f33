"""Data sets that are read: those the project knows, and your own folders, arrays and Parquet."""
