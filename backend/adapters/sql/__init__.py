"""What is kept in SQL, on SQLite or Postgres: the mirror, versions' records, LLM answers, suspects and verdicts."""
