"""Priorities: which task a person should label next."""
