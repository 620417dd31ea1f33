"""From an image file to a square array: formats, depth, value range, size, turning."""
