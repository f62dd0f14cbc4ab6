"""Grids of images: axes, cells and the contact sheet."""
