"""Stage 3: the best configuration of each cell x seeds; the only stage that opens test."""
