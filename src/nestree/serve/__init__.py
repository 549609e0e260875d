"""A local page that shows how a model reads what one types: its answer, its trees, and what the options change."""
