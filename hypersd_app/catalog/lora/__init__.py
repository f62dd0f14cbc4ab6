"""LoRA files by their headers alone: what is in them, what it changes, and whether a model has those layers."""
