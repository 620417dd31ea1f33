"""The page `index.html`: templates, escaped HTML, SVG."""
