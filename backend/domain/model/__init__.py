"""Models of projects: they learn from votes, labels and task data, and give posteriors."""
