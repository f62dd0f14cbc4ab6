"""Pocket's ControlNet: synthetic drawings, and training through the student."""
