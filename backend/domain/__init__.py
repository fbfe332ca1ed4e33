"""The domain: functions take arrays and records and return arrays and records; they do no I/O."""
