"""Models that embed tasks, and where their vectors are kept."""
