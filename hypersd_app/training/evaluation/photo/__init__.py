"""Stable Diffusion students measured on photographs' captions, in the columns of the Hyper-SD paper's tables."""
