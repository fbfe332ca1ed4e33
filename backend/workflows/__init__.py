"""What we do: one module for each way through the house."""
