"""One file a figure: `table(analysis)` in, `draw(table, analysis)` out, `caption` in words."""
