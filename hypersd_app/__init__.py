"""Hyper-SD Studio: few-step diffusion for live drawing, and an open implementation of its training method."""
