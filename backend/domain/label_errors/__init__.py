"""Label errors: which human labels are probably wrong, what we would have expected instead, and why."""
