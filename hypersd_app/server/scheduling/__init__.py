"""Which visitor is drawn next, and how much each may ask."""
