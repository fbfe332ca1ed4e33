"""What is answered to requests that can't be used: a sentence, never a part of what was sent."""

import re
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

OWN_NAME = re.compile(r"[a-z_]{1,30}")
"""Names of fields that a request should have; its own names are its content."""
SHOWN = 5
"""Problems of one request that are named."""
SENTENCES = {
    404: "There is no such address here: /docs lists those that there are.",
    405: "This address doesn't take this method: /docs lists those that it takes.",
}


async def explain_body(_: Request, error: Exception) -> Response:
    """Name what is wrong in a request's body or query. FastAPI's own answer would repeat what was sent."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - for the type checker
    if isinstance(error.body, bytes | str):
        # FastAPI reads a body as JSON only where it is said to be that.
        return JSONResponse({"detail": "Send the body as JSON, with the header Content-Type: application/json."}, 422)
    found = [f"{_place(item['loc'])}: {item['msg']}" for item in error.errors()]
    more = f"; and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return JSONResponse({"detail": f"The request can't be used. {'; '.join(found[:SHOWN])}{more}."}, 422)


async def explain_address(request: Request, error: Exception) -> Response:
    """A sentence in place of the two words that HTTP has for an unknown address or method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - for the type checker
    if error.status_code in SENTENCES and error.detail == HTTPStatus(error.status_code).phrase:
        error = HTTPException(error.status_code, SENTENCES[error.status_code], error.headers)
    return await http_exception_handler(request, error)


def _place(location: tuple[str | int, ...]) -> str:
    """Where in the request, such as `tasks.0.data`."""
    named = [str(part) for part in location if isinstance(part, int) or OWN_NAME.fullmatch(part)]
    return ".".join(named[1:] or named)
