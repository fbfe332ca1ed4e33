"""What is known of a project, learned: votes, labels and task data in, posteriors out."""
