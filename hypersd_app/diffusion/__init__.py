"""The mathematics of diffusion, on tensors alone; serving and training share it."""
