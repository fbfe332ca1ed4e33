"""What machines ask: does it live, is it ready, how does it do."""

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from backend.bootstrap import App
from backend.errors import BackendError, ReadOnlyDatabase, WrongDatabase


def add_probes(api: FastAPI) -> None:
    """Add the routes."""

    @api.get("/", tags=["probes"])
    @api.get("/health", tags=["probes"])
    async def health() -> dict[str, str]:
        """Whether the process lives. Label Studio asks this before anything else. No I/O."""
        return {"status": "UP", "model_class": "Prelabel"}

    @api.get("/ready", tags=["probes"])
    def ready(request: Request, response: Response) -> dict[str, object]:
        """Whether it can do its work: 503 with the reasons when not. Warnings are of what doesn't stop suggestions."""
        app: App = request.app.state.app
        reasons, warnings = unready(app)
        response.status_code = 503 if reasons else 200
        return {"status": "NOT READY" if reasons else "READY", "reasons": reasons, "warnings": warnings}

    @api.get("/metrics", tags=["probes"])
    def prometheus(request: Request) -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def unready(app: App) -> tuple[list[str], list[str]]:
    """Why the service can't work, and what else is amiss. Everybody may ask: addresses are left out."""
    reasons: list[str] = []
    warnings: list[str] = []
    for what, ask in (("the database (DATABASE_URL)", app.database.ping), ("Redis (REDIS_URL)", app.queue.ping)):
        try:
            ask()
        except WrongDatabase:
            reasons.append(f"{what} isn't the one of this installation: see `prelabel doctor`")
        except ReadOnlyDatabase:
            reasons.append(f"{what} can't be written to: see `prelabel doctor`")
        except BackendError:
            reasons.append(f"{what} doesn't answer")
    try:
        app.versions.check_writable()
    except OSError as error:
        reasons.append(f"MODEL_DIR can't be written to ({error.strerror})")
    if any("Redis" in reason for reason in reasons):
        return reasons, warnings
    workers, scheduler = app.queue.alive()
    if not workers:
        warnings.append("no worker runs: nothing is trained or sent to Label Studio")
    if not scheduler:
        warnings.append("no scheduler runs: no job begins")
    return reasons, warnings
