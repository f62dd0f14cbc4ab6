"""Measuring: parts of an image, crowds of visitors, and the drawing board in a real browser."""
