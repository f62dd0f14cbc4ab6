"""Scripted visitors over the real transport: what the server does when many draw at once."""
