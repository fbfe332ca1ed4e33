"""Measure: how good a version is, what the labels brought, and whether more of them are worth it."""
