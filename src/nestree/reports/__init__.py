"""Reports of results: HTML page, Markdown, model cards, and their tables and plots."""
