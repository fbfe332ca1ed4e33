"""Check: labels and tasks that are probably wrong are searched for, tagged, and ruled on by people."""
