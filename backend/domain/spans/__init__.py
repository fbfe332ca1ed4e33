"""Spans in texts: votes of sources, a tagger that sees them, what comes next, and which spans are probably wrong."""
