"""Processes that run on: workers and scheduler, and what starts them all."""
