"""Network modules of our own; everything else is a diffusers or transformers class."""
