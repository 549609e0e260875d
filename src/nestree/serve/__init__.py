"""A local web page that shows a model's answer and trees for an input while you type, with options to change."""
