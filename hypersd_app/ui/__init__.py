"""The page: one module per tab, the named endpoints, and the ES modules of the drawing board."""
