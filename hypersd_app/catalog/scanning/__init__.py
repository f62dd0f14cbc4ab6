"""Models and styles found on this machine: the folders they lie in, what the files are, and what stands beside them."""
