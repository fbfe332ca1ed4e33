"""Ask: an LLM votes on the tasks where its vote is worth its price."""
