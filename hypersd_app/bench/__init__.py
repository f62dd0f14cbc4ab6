"""Measuring: parts of a picture, crowds of visitors, and the drawing board in a real browser."""
