"""Labeling functions, one topic a file. Point `LF_RULES_DIR` at a folder of your own to replace these."""
