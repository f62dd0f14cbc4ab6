"""What every training stage shares: the loop, optimizers, precision, checkpoints, distributed processes."""
