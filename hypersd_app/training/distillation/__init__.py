"""Hyper-SD and its relatives: from a teacher to a few-step student."""
