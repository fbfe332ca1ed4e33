"""What is measured against peers. Run one with `uv run python -m benchmarks.<name> --help`."""
