"""Stage 2: search the best configuration of each cell on train and validation."""
