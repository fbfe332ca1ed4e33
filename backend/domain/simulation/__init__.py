"""Simulation: a labeled project is labeled again, and what labels bring is measured."""
