"""Stage 1: raw sources to fixed, disjoint, stratified splits with a card."""
