"""What a person wished for last for a project: to go back to a version, to let go of it, or a new training.

Jobs begin in another order than they were asked for in, as those that meet a busy project ask again. So the newest wish
is kept beside the requests, and counts whenever its job begins.
"""

from backend.ports import Job, JobOptions

WISH_TTL_S = 7 * 24 * 3600
"""As long as a failed job is kept. No request waits for longer."""


def is_wish(job: Job, options: JobOptions) -> bool:
    """Whether a request says what a project is to show, which only a person does."""
    return job == Job.ROLLBACK or (job == Job.TRAIN and options.forced)


def wish_key(key: str) -> str:
    """Where in Redis a project's newest wish stands, written as its request."""
    return f"prelabel:wish:{key}"
