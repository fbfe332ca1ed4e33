"""The queue of jobs in Redis, through rq, and the figures that all processes count there."""
