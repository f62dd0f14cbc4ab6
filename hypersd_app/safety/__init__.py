"""What a public studio does not draw."""
