"""How we talk: one outside thing in each module."""
