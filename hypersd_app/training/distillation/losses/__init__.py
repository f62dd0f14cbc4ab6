"""The losses that methods combine; each is weighted by the stage of the training."""
