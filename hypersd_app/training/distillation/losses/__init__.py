"""The parts that methods are put together from; each weighs itself by the stage of the training."""
