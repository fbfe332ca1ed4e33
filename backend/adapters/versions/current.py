"""Which version is current: the status of versions in SQL, and for one more release the file `current`."""

import re
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from backend.adapters.sql.engine import Sql
from backend.adapters.sql.tables import versions
from backend.adapters.two_places import Kept, TwoPlaces
from backend.errors import ConfigurationError, ModelMissing
from backend.ports import VersionStatus

NAME = "current"
CURRENT = (VersionStatus.PUBLISHING, VersionStatus.LIVE)
"""Statuses of the current version, the one that counts first."""


class CurrentVersions:
    """The current version of each project."""

    def __init__(self, sql: Sql, root: Path) -> None:
        """`root`: MODEL_DIR."""
        self._places = TwoPlaces(sql, _Statuses(), root, NAME, _is_number)

    def get(self, key: str) -> int:
        """Its number, or 0; see `Versions.current`."""
        try:
            text = self._places.read(key)
            return 0 if text is None else int(text)
        except ConfigurationError:
            # Nothing in MODEL_DIR: as far as can be said without the database, nothing was trained.
            return 0
        except OSError as error:
            raise ModelMissing(f"MODEL_DIR can't be read ({error.strerror}): is it mounted, and ours?") from error
        except ValueError as error:
            raise ModelMissing(
                f"The file `{NAME}` of project {key} in MODEL_DIR is damaged: `prelabel rollback` to any version "
                "writes it anew."
            ) from error

    def set(self, key: str, number: int) -> None:
        """See `Versions.set_current`."""
        self._places.write(key, str(number))

    def settle(self, key: str) -> None:
        """Make SQL and the file say the same."""
        self._places.settle(key)


class _Statuses:
    """The status of versions, as a place that keeps the number of the current one."""

    def read(self, connection: Connection, key: str) -> Kept | None:
        """The number that the statuses say."""
        where = (versions.c.key == key) & versions.c.status.in_(CURRENT)
        query = select(versions.c.number, versions.c.status, versions.c.current_at).where(where)
        # Earlier releases, killed at the wrong moment, left two live ones.
        rows = sorted(
            connection.execute(query), key=lambda row: (row.status == CURRENT[0], row.current_at or 0.0, row.number)
        )
        return Kept(str(rows[-1].number), rows[-1].current_at or 0.0) if rows else None

    def write(self, connection: Connection, key: str, kept: Kept) -> None:
        """Let the statuses say another number. A version without a record, as in a new database, gets one."""
        before, number = self.read(connection, key), int(kept.text)
        of_key = versions.c.key == key
        to: dict[str, object] = {"current_at": kept.at}
        if before is None or before.text != kept.text:
            was_cut_off = of_key & (versions.c.status == VersionStatus.PUBLISHING)
            connection.execute(update(versions).where(was_cut_off).values(status=VersionStatus.BUILT))
            to["status"] = VersionStatus.PUBLISHING
        if connection.execute(update(versions).where(of_key, versions.c.number == number).values(**to)).rowcount:
            return
        record = {"key": key, "number": number, "status": VersionStatus.LIVE, "created_at": kept.at}
        connection.execute(insert(versions).values(record | {"current_at": kept.at}))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,8}", text) is not None
