"""The words of the page, one table per language."""
