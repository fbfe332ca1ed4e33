"""Prelabel: a Label Studio ML backend."""
