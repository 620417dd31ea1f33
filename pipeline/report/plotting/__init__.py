"""What the figures share: style, axes, panels, rows with intervals, maps of squares."""
