"""What we know: arrays and records in, arrays and records out; no I/O."""
