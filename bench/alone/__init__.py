"""Measurements of ours alone: each prints its own lines, takes options of its own, and writes no file."""
