"""The LLM as an annotator: what it is asked, how its answers are read, and how far they can be trusted."""
