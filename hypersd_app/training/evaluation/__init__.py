"""Evaluation of a teacher and its students: contact sheets, and metrics with floors to compare with."""
