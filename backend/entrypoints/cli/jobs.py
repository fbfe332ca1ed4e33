"""`prelabel jobs`: what is asked for, running, done and failed."""

from backend.entrypoints.cli import installation
from backend.entrypoints.console import Grid, say_json
from backend.entrypoints.failing import say_failing

FIELDS = ("id", "job", "key", "status", "step", "done", "total", "error")


def show_jobs(last: int, *, as_json: bool) -> None:
    """Print the newest ones, so many, the newest last."""
    app = installation.looked_at()
    found = app.queue.jobs()[-last:]
    if as_json:
        say_json([{name: getattr(job, name) for name in FIELDS} for job in found])
        return
    say_failing(app.queue)
    table = Grid("job", "project", "status", "progress", "started", "error")
    for job in found:
        progress = f"{job.step} {job.done}/{job.total}" if job.total else job.step
        started = job.started_at.strftime("%H:%M:%S") if job.started_at else ""
        table.row(job.job, job.key.split(".")[0], job.status, progress, started, job.error)
    table.show()
