"""Versions: what a training made, in folders."""
