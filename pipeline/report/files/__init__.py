"""Files of the report: Markdown, LaTeX, metrics, tables, pictures."""
