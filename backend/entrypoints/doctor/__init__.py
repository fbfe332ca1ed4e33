"""What `prelabel doctor` finds."""
