"""Simulation: a labeled project is labeled again, and what each label brings is measured."""
