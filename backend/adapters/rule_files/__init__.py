"""Rules that are written as files for people who don't write Python, and the tables and models that these name."""
