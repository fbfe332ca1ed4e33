"""Files of data that people bring, and those that they are given."""
