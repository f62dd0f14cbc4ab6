"""What can come of compiling a network, as its label says it."""

COMPILED, PLAIN = "compiled", "not compiled"
