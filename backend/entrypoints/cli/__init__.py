"""The `prelabel` command."""
