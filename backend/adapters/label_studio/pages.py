"""Pages of tasks, read around what Label Studio has stored but can't send.

Its API takes some JSON (data that is a list or a text, half characters) that makes each page with it fail with 500 ever
after, in Label Studio's own screens, too. Such a task must not keep all others from being read.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from backend.errors import LabelStudioError

Page = dict[str, Any]
Read = Callable[[str, int, int], Page]
"""Fields, page size and number of a page -> what Label Studio answers; raises LabelStudioError."""

MAX_UNREADABLE = 10
"""Of more tasks that can't be sent, Label Studio itself is rather failing."""
PARTS = 10
"""A page that fails is read in so many parts."""
LIGHT_FIELDS = "id,updated_at,is_labeled"
"""What can be sent of most of them."""

log = logging.getLogger(__name__)


def task_pages(read: Read, fields: str, page_size: int) -> Iterator[list[Page]]:
    """All tasks in pages; one that can't be sent comes without data and annotations, or, if need be, not at all."""
    reader, number = _Reader(read, fields), 1
    while not reader.ended:
        yield from reader.span(page_size, number)
        number += 1


class _Reader:
    def __init__(self, read: Read, fields: str) -> None:
        self._read = read
        self._fields = fields
        self._unreadable = 0
        self.ended = False

    def span(self, size: int, number: int) -> Iterator[list[Page]]:
        """The tasks of one page."""
        try:
            body = self._read(self._fields, size, number)
        except LabelStudioError as error:
            # A page past the end is answered with 404: only a total that couldn't be read leads there.
            self.ended = error.status == 404 and number > 1
            if self.ended:
                return
            if error.status != 500:
                raise
            if size == 1:
                yield from self._one(number, error)
            else:
                yield from self._in_parts(size, number)
            return
        tasks = body.get("tasks") or []
        if tasks:
            yield tasks
        self.ended = not tasks or size * number >= int(body.get("total", 0))

    def _in_parts(self, size: int, number: int) -> Iterator[list[Page]]:
        parts = PARTS if size % PARTS == 0 else size
        for part in range(parts):
            if not self.ended:
                yield from self.span(size // parts, (number - 1) * parts + part + 1)

    def _one(self, number: int, error: LabelStudioError) -> Iterator[list[Page]]:
        self._unreadable += 1
        if self._unreadable > MAX_UNREADABLE:
            raise error
        try:
            found = self._read(LIGHT_FIELDS, 1, number).get("tasks") or []
        except LabelStudioError:
            found = []
        told = f"task {found[0]['id']}" if found else f"the task at place {number}"
        log.warning("Label Studio can't send %s, which is left out: %s", told, error)
        if found:
            yield found
