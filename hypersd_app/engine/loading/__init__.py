"""From files to modules: diffusers folders, single-file checkpoints and LoRA files."""
