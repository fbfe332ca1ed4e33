"""Label Studio: its API, its label configs, and its forms of tasks, answers and exports."""
