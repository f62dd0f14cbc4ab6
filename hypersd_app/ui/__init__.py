"""The page: one file a tab, shared components, and the drawing board's own script."""
