"""Label Studio over HTTP: the `LabelStudio` port.

Requests and answers are plain JSON, in the shapes and batch sizes with which a real Label Studio 1.23.2 was fastest.
"""

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from backend.adapters.addresses import same_address
from backend.adapters.label_studio.errors import BLOCKED
from backend.adapters.label_studio.json import (
    data_of,
    format_prediction,
    format_tab,
    normal_time,
    parse_project,
    parse_task,
)
from backend.adapters.label_studio.pages import task_pages
from backend.adapters.label_studio.query import condition, task_query
from backend.adapters.label_studio.requests import Requests
from backend.domain.outside import is_word
from backend.domain.questions import Question
from backend.domain.tasks import MirroredTask
from backend.errors import LabelStudioError, ProjectMissing
from backend.ports import Connection, Prediction, ProjectInfo, Tab, TagPlace, Webhook

PAGE_SIZE = 1000
"""1,000 tasks take Label Studio about 1 s; larger pages cost it memory and save no time."""
LIGHT_PAGE_SIZE = 5000
"""Where little is asked of each task, most of the time is the page's: in 100,000 tasks, ids take a third less."""
SLOW_TIMEOUT_S = 1800.0
"""Bulk import and removal take Label Studio minutes in a large project, each in one request."""
NO_PROJECT = "No Project matches"
"""What Label Studio says of a project that was deleted, in the 404 that a misrouted proxy may send as well."""
NOT_FOUND = "Not found."
"""What it said up to 1.13, and what other services say too."""
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
"""Names the encoding of bytes; the SDK refuses it in a text."""
CONNECT_TRIES = 3
SECRET_HEADER = "X-Webhook-Secret"  # noqa: S105 - the name of the header, not a secret
log = logging.getLogger(__name__)


class LabelStudioApi:
    """Talks to one Label Studio. Opens nothing before its first call."""

    def __init__(self, url: str, api_key: str, timeout_s: float = 60.0) -> None:
        self._requests = Requests(url, api_key, timeout_s)

    @property
    def url(self) -> str:
        """Label Studio's address, without a slash at its end."""
        return self._requests.url

    def download(self, path: str, most_bytes: int) -> tuple[bytes, str]:
        """A file that Label Studio serves, see `Requests.download`."""
        return self._requests.download(path, most_bytes)

    def whoami(self) -> str:
        """E-mail address of the user whose key we use."""
        return str(self._requests.send("GET", "api/current-user/whoami").json().get("email", ""))

    def people(self) -> dict[int, str]:
        """E-mail addresses of all users, by id."""
        found = self._requests.send("GET", "api/users/").json()
        return {int(item["id"]): str(item.get("email") or item["id"]) for item in found}

    def project(self, project_id: int) -> ProjectInfo:
        """One project."""
        try:
            return parse_project(self._requests.send("GET", f"api/projects/{project_id}/").json())
        except LabelStudioError as error:
            if error.status == 404 and (NO_PROJECT in str(error) or (NOT_FOUND in str(error) and self._is_there())):
                raise ProjectMissing(f"Label Studio at {self.url} has no project {project_id}.", 404) from error
            raise

    def _is_there(self) -> bool:
        """Whether it is Label Studio that answers at this address."""
        try:
            found = self._requests.send("GET", "api/version").json()
        except (LabelStudioError, ValueError):
            return False
        return isinstance(found, dict) and "release" in found

    def update_project(self, project_id: int, changes: Mapping[str, object]) -> None:
        """Change settings of a project."""
        self._requests.send("PATCH", f"api/projects/{project_id}/", body=dict(changes))

    def tasks(self, project_id: int, since: str | None = None) -> Iterator[list[MirroredTask]]:
        """All tasks in pages; with `since`, those that changed after it."""
        # `include` filters nested objects too, so the fields of annotations are named with those of tasks.
        fields = "id,annotations,data,updated_at,is_labeled,result,was_cancelled,completed_by,lead_time"
        items = [] if since is None else [condition("updated_at", "greater", "Datetime", since)]
        for page in self._task_pages(project_id, fields, items, ["tasks:updated_at"] if since else []):
            yield [parse_task(item) for item in page]

    def newest_change(self, project_id: int) -> str:
        """When a task changed last, as its `updated_at` says; "" without tasks."""
        params: dict[str, object] = {"project": project_id, "fields": "all", "include": "id,updated_at", "page_size": 1}
        params["query"] = task_query([], ["-tasks:updated_at"])
        found = self._requests.send("GET", "api/tasks/", params=params).json()["tasks"]
        return normal_time(found[0]["updated_at"]) if found else ""

    def task_ids(self, project_id: int) -> set[int]:
        """Ids of all tasks."""
        return {
            int(item["id"]) for page in self._task_pages(project_id, "id", [], [], LIGHT_PAGE_SIZE) for item in page
        }

    def predicted_tasks(self, project_id: int, version: str, among: Collection[int] | None = None) -> set[int]:
        """Ids of the tasks that have a prediction of a version; with `among`, of these tasks only."""
        if among is not None and not among:
            return set()
        # `contains` compares substrings: v1 finds v10 too, so the exact version is compared here. All are in one text;
        # the predictions themselves take twice as long.
        items = [condition("predictions_model_versions", "contains", "List", [version])]
        if among:
            # New tasks have ids that follow each other: the range keeps all others out.
            items.append(condition("id", "in", "Number", {"min": min(among), "max": max(among)}))
        pages = self._task_pages(project_id, "id,predictions_model_versions", items, [], LIGHT_PAGE_SIZE)
        found = {
            int(item["id"])
            for page in pages
            for item in page
            if version in str(item.get("predictions_model_versions")).split(",")
        }
        return found if among is None else found & set(among)

    def push_one(self, version: str, prediction: Prediction, questions: Sequence[Question]) -> None:
        """Store one prediction."""
        self._requests.send("POST", "api/predictions/", body=format_prediction(prediction, version, questions))

    def push_all(
        self, project_id: int, version: str, predictions: Sequence[Prediction], questions: Sequence[Question]
    ) -> int:
        """Store many predictions in one request; returns how many Label Studio created.

        Each request costs Label Studio time in proportion to the project, not to the batch: hence only one.
        """
        if not predictions:
            return 0
        body = [format_prediction(prediction, version, questions) for prediction in predictions]
        path = f"api/projects/{project_id}/import/predictions"
        return int(self._requests.send("POST", path, body=body, timeout_s=SLOW_TIMEOUT_S).json().get("created", 0))

    def acceptable(
        self, label_config: str, predictions: Sequence[Prediction], questions: Sequence[Question]
    ) -> list[Prediction]:
        """The predictions that a bulk import takes: it drops all others without a word; all if nobody knows."""
        from label_studio_sdk.label_interface.interface import LabelInterface  # noqa: PLC0415 - it brings pandas

        bodies = [format_prediction(prediction, "v0", questions) for prediction in predictions]
        try:
            interface = LabelInterface(_DECLARATION.sub("", label_config))
            errors = [
                interface.validate_prediction({"result": body["result"], "score": body["score"]}, return_errors=True)
                for body in bodies
            ]
        except Exception as error:  # noqa: BLE001 - whatever a label config makes the SDK raise
            # What Label Studio drops of them is found out afterwards.
            log.warning(
                "Predictions are sent without a check beforehand: the label config made it fail (%s).",
                type(error).__name__,
            )
            return list(predictions)
        return [prediction for prediction, found in zip(predictions, errors, strict=True) if not found]

    def versions(self, project_id: int) -> dict[str, int]:
        """Model versions with the number of their predictions."""
        found = self._requests.send("GET", f"api/projects/{project_id}/model-versions/").json()
        return {str(name): int(count) for name, count in found.items()} if isinstance(found, dict) else {}

    def remove_version(self, project_id: int, version: str) -> int:
        """Delete all predictions of a version; returns their number. May take minutes."""
        path = f"api/projects/{project_id}/model-versions/"
        answer = self._requests.send("DELETE", path, body={"model_version": version}, timeout_s=SLOW_TIMEOUT_S)
        return int(answer.json().get("deleted_predictions", 0))

    def tag(self, project_id: int, key: str, value: str | float, task_ids: Sequence[int]) -> None:
        """Set one of our own keys in the data of some tasks. No ids: nothing happens."""
        if not task_ids:
            # Label Studio takes an empty selection for all tasks of the project.
            return
        body = {
            "selectedItems": {"all": False, "included": list(task_ids)},
            "value_name": key,
            "value_type": "String" if isinstance(value, str) else "Number",
            "value": value,
        }
        params = {"id": "add_data_field", "project": project_id}
        self._requests.send("POST", "api/dm/actions", params=params, body=body, timeout_s=SLOW_TIMEOUT_S)

    def tagged(self, project_id: int, key: str, word: str) -> set[int]:
        """Ids of the tasks in whose data a key of ours is a word, see `is_word`; no `updated_at` tells of a tag."""
        # Databases differ in how their regular expressions are told to ignore case.
        letters = "".join(f"[{letter.upper()}{letter}]" for letter in word)
        pages = self._task_pages(project_id, "id,data", [condition(f"data.{key}", "regex", "String", letters)], [])
        return {int(item["id"]) for page in pages for item in page if is_word(data_of(item).get(key), word)}

    def tags(self, project_id: int, names: Sequence[str]) -> dict[TagPlace, object]:
        """What some keys of the tasks' data say, whoever wrote it, where it isn't empty; read now, not mirrored."""
        items = [condition(f"data.{name}", "regex", "String", ".") for name in names]
        pages = self._task_pages(project_id, "id,data", items, [], conjunction="or")
        found = [(int(item["id"]), data_of(item)) for page in pages for item in page]
        return {
            (task_id, name): data[name] for task_id, data in found for name in names if data.get(name) not in (None, "")
        }

    def tabs(self, project_id: int) -> list[Tab]:
        """All Data Manager tabs (id and title only)."""
        found = self._requests.send("GET", "api/dm/views/", params={"project": project_id}).json()
        return [Tab(str(data_of(item).get("title", "")), (), (), id=int(item["id"])) for item in found]

    def create_tab(self, project_id: int, tab: Tab) -> int:
        """Make a tab; returns its id."""
        answer = self._requests.send(
            "POST", "api/dm/views/", params={"project": project_id}, body=format_tab(project_id, tab)
        )
        return int(answer.json()["id"])

    def connections(self, project_id: int) -> list[Connection]:
        """ML backends of a project."""
        listed = self._requests.send("GET", "api/ml/", params={"project": project_id}).json()
        # The list tells what was true long ago; asked for one backend, Label Studio tries it out.
        found = [self._requests.send("GET", f"api/ml/{item['id']}").json() for item in listed]
        return [
            Connection(int(item["id"]), str(item.get("url", "")), str(item.get("title", "")), _connection_error(item))
            for item in found
        ]

    def connect(
        self,
        project_id: int,
        url: str,
        title: str,
        basic_auth: tuple[str, str] | None,
        former: Collection[str] = (),
    ) -> None:
        """Register or update an ML backend; Label Studio calls its /health and /setup during this.

        `former`: addresses that it had before. Of several registrations of it one is left.
        """
        body: dict[str, object] = {"project": project_id, "url": url, "title": title, "auth_method": "NONE"}
        if basic_auth is not None:
            body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": basic_auth[0], "basic_auth_pass": basic_auth[1]}
        for tries_left in reversed(range(CONNECT_TRIES)):
            known = self.connections(project_id)
            # Our title proves nothing: another installation has it, too, and may be down at this moment.
            existing = [item for item in known if same_address(item.url, url)] or [
                item for item in known if _is_one_of(item.url, former)
            ]
            try:
                if existing:
                    self._requests.send("PATCH", f"api/ml/{existing[0].id}", body=body)
                else:
                    self._requests.send("POST", "api/ml/", body=body)
                break
            except LabelStudioError as error:
                # A busy Label Studio may fail after it has registered us: look again, else it has us twice.
                if not tries_left or (error.status or 0) < 500:
                    raise
        self._forget_doubles(project_id, url, former)

    def _forget_doubles(self, project_id: int, url: str, former: Collection[str]) -> None:
        """Leave one registration of an address, and none of its former ones.

        Label Studio on SQLite repeats a request by itself when its database was locked, also one that had registered
        us already.
        """
        listed = self._requests.send("GET", "api/ml/", params={"project": project_id}).json()
        urls = {int(item["id"]): str(item.get("url", "")) for item in listed}
        doubles = sorted(number for number, known in urls.items() if same_address(known, url))[1:]
        old = [number for number, known in urls.items() if _is_one_of(known, former) and not same_address(known, url)]
        for number in (*doubles, *old):
            self._requests.send("DELETE", f"api/ml/{number}")

    def refuses_to_call(self, url: str) -> str:
        """What Label Studio says when it doesn't call an address because it is private; "" when it would.

        Asked with a connection that names no project, which it refuses in any case: nothing is made.
        """
        try:
            self._requests.send("POST", "api/ml/", body={"url": url})
        except LabelStudioError as error:
            if BLOCKED in str(error):
                return str(error)
            if error.status != 400:
                raise
        return ""

    def webhooks(self, project_id: int, secret: str) -> list[Webhook]:
        """Webhooks of a project; `secret` is only compared with."""
        found = self._requests.send("GET", "api/webhooks/", params={"project": project_id}).json()
        return [
            Webhook(
                id=int(item["id"]),
                url=str(item.get("url", "")),
                is_active=bool(item.get("is_active")),
                has_secret=(item.get("headers") or {}).get(SECRET_HEADER) == secret,
                sends_everything=bool(item.get("send_for_all_actions") and item.get("send_payload")),
            )
            for item in found
        ]

    def set_webhook(self, project_id: int, webhook_id: int | None, url: str, secret: str) -> None:
        """Create or repair a webhook: active, all events, with our secret."""
        body = {
            "url": url,
            "is_active": True,
            "send_payload": True,
            "send_for_all_actions": True,
            "headers": {SECRET_HEADER: secret},
        }
        if webhook_id is None:
            self._requests.send("POST", "api/webhooks/", body=body | {"project": project_id})
        else:
            self._requests.send("PATCH", f"api/webhooks/{webhook_id}/", params={"project": project_id}, body=body)

    def remove_webhook(self, webhook_id: int) -> None:
        """Delete a webhook."""
        self._requests.send("DELETE", f"api/webhooks/{webhook_id}/")

    def _task_pages(
        self,
        project_id: int,
        fields: str,
        filters: list[dict[str, object]],
        ordering: list[str],
        page_size: int = PAGE_SIZE,
        conjunction: str = "and",
    ) -> Iterator[list[dict[str, Any]]]:
        params: dict[str, object] = {"project": project_id, "fields": "all"}
        if filters:
            params["query"] = task_query(filters, ordering, conjunction)

        def read(fields: str, page_size: int, page: int) -> dict[str, Any]:
            asked = params | {"include": fields, "page_size": page_size, "page": page}
            found: dict[str, Any] = self._requests.send(
                "GET", "api/tasks/", params=asked, timeout_s=SLOW_TIMEOUT_S
            ).json()
            return found

        yield from task_pages(read, fields, page_size)


def _is_one_of(url: str, addresses: Collection[str]) -> bool:
    return any(same_address(url, address) for address in addresses)


def _connection_error(item: Mapping[str, Any]) -> str:
    return str(item.get("error_message") or "it doesn't answer") if item.get("state") in {"ER", "DI"} else ""
