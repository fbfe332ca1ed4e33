"""A local server that speaks the OpenAI protocol, with the faults of the real ones.

By hand: `python -m tests.llm_server --port 11500`, then `OPENAI_BASE_URL=http://127.0.0.1:11500/v1`.
"""

import argparse
import gzip
import itertools
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from tests.llm_faults import NO_MODEL, Fault, error, unsupported
from tests.quiet_server import QuietServer

ID = re.compile(r"\bid[\"']?\s*[:=]\s*[\"']?([\w.\-]+)")


@dataclass(frozen=True)
class Seen:
    """A request that the server got; in_flight: chat requests under way then, with this one."""

    method: str
    path: str
    body: Any
    authorization: str
    at: float
    in_flight: int


@dataclass(frozen=True)
class Said:
    """What the model says, where a text isn't all."""

    text: str = ""
    finish_reason: str = "stop"
    refusal: str | None = None
    logprobs: bool = True
    """Given when asked for."""
    headers: Mapping[str, str] = field(default_factory=dict)


Embedding = Callable[[str], list[float]]
Answerer = Callable[[dict[str, Any]], str | Said | Fault]


class LlmServer:
    """A context manager; tests change its attributes while it runs.

    answer: chat request -> text, `Said` or `Fault`. faults: taken first, one for each chat request. refuses: parameters
    or forms that the model doesn't take -> the fault it says so with. ignores: parameters that it doesn't look at.
    models: None = any. one_choice: `n` is ignored. has_batches: whether there is a Batch API. batch_status: what
    batches become; "in_progress" = not ended. embed: text (or address of an image) -> vector. embedding_faults,
    file_faults: as faults. written: bytes of bodies that go on and on.
    """

    def __init__(self, answer: Answerer | None = None, port: int = 0) -> None:
        self.answer: Answerer = answer or pick_labels
        self.faults: deque[Fault | Said] = deque()
        self.refuses: dict[str, Fault] = {}
        self.ignores: set[str] = set()
        self.headers: dict[str, str] = {}
        self.models: set[str] | None = None
        self.one_choice = False
        self.embed: Embedding = by_length
        self.embedding_faults: deque[Fault] = deque()
        self.has_batches = True
        self.batch_status = "completed"
        self.batch_faults: deque[Fault] = deque()
        self.file_faults: deque[Fault] = deque()
        self.seen: list[Seen] = []
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.written = 0
        self.stopping = threading.Event()
        self._ids = itertools.count(1)
        self._in_flight = 0
        self._lock = threading.Lock()
        self._http = _Server(("127.0.0.1", port), self)

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL is to be."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def chats(self) -> list[dict[str, Any]]:
        """Bodies of the chat requests it got, in order."""
        return [item.body for item in self.seen if item.path == "/v1/chat/completions"]

    @property
    def most_in_flight(self) -> int:
        """The most chat requests that were under way at once."""
        return max((item.in_flight for item in self.seen), default=0)

    def fail(self, fault: Fault | Said, times: int = 1) -> None:
        """Answer the next chat requests so."""
        self.faults.extend([fault] * times)

    def refuse(self, *what: str, dialect: str = "openai") -> None:
        """From now on the model doesn't take these parameters or forms."""
        for name in what:
            self.refuses[name] = unsupported(name, dialect)

    def serve(self) -> None:
        """Serve until stopped."""
        self._http.serve_forever(poll_interval=0.02)

    def __enter__(self) -> "LlmServer":
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    # What the handler asks

    def handle(self, method: str, path: str, body: Any, authorization: str) -> Any:
        """Answer one request: a JSON value, text of a file, or a Fault."""
        is_chat = path == "/v1/chat/completions"
        with self._lock:
            self._in_flight += is_chat
            self.seen.append(Seen(method, path, body, authorization, time.monotonic(), self._in_flight))
        try:
            return self._chat(body, self.faults) if is_chat else self._other(method, path, body)
        finally:
            with self._lock:
                self._in_flight -= is_chat

    def _chat(self, body: dict[str, Any], faults: deque[Fault | Said]) -> Any:
        with self._lock:
            said: str | Said | Fault | None = faults.popleft() if faults else None
        body = {name: value for name, value in body.items() if name not in self.ignores}
        if said is None and self.models is not None and body["model"] not in self.models:
            said = NO_MODEL
        said = said or self._refusal(body) or self.answer(body)
        if isinstance(said, Fault):
            return said
        said = Said(said) if isinstance(said, str) else said
        count = 1 if self.one_choice else int(body.get("n", 1))
        texts = [said] + [self._again(body, said) for _ in range(count - 1)]
        wants = bool(body.get("logprobs"))
        choices = [_choice(index, item, wants) for index, item in enumerate(texts)]
        read = sum(len(json.dumps(message)) for message in body["messages"]) // 4
        written = sum(len(item.text) for item in texts) // 4
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        reply = {"id": f"chatcmpl-{next(self._ids)}", "object": "chat.completion", "created": 0, "model": body["model"]}
        return reply | {"choices": choices, "usage": usage, "headers": self.headers | dict(said.headers)}

    def _again(self, body: dict[str, Any], said: Said) -> Said:
        """A further sample: the answer function is asked again."""
        more = self.answer(body)
        return Said(more) if isinstance(more, str) else more if isinstance(more, Said) else said

    def _refusal(self, body: dict[str, Any]) -> Fault | None:
        uses = {name for name in body if name != "response_format"}
        uses.add(str((body.get("response_format") or {}).get("type", "text")))
        if any(isinstance(message["content"], list) for message in body["messages"]):
            uses.add("images")
        if int(body.get("n", 1)) == 1:
            uses.discard("n")
        return next((fault for name, fault in self.refuses.items() if name in uses), None)

    def _other(self, method: str, path: str, body: Any) -> Any:
        if path == "/v1/embeddings":
            return self._embeddings(body)
        if not self.has_batches:
            return Fault(404, {"detail": "Not Found"})
        if (method, path) == ("POST", "/v1/files"):
            name = f"file-{next(self._ids)}"
            self.files[name] = body
            return {"id": name, "object": "file", "purpose": "batch", "bytes": len(body), "filename": "x.jsonl"}
        if (method, path) == ("POST", "/v1/batches"):
            return self._new_batch(body)
        if (method, path.partition("?")[0]) == ("GET", "/v1/batches"):
            return {"object": "list", "data": list(self.batches.values()), "has_more": False}
        if path.startswith("/v1/batches/"):
            batch = self.batches.get(path.removeprefix("/v1/batches/"))
            return self._progress(batch) if batch else error(404, "No such batch")
        match = re.fullmatch(r"/v1/files/([^/]+)/content", path)
        if match and self.file_faults:
            return self.file_faults.popleft()
        if match and match[1] in self.files:
            return self.files[match[1]]
        return error(404, "Not found")

    def _embeddings(self, body: dict[str, Any]) -> Any:
        if self.embedding_faults:
            return self.embedding_faults.popleft()
        texts = [item if isinstance(item, str) else next(iter(item.values())) for item in body["input"]]
        data = [
            {"object": "embedding", "index": place, "embedding": self.embed(text)} for place, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        # In any order: clients are to go by the index.
        return {"object": "list", "data": data[::-1], "model": body["model"], "usage": usage}

    def _new_batch(self, body: dict[str, Any]) -> Any:
        name = f"batch_{next(self._ids)}"
        made = {"id": name, "object": "batch", "status": "validating", "created_at": 0} | body
        fault = self.batch_faults.popleft() if self.batch_faults else None
        if fault is None or fault.how:
            # An answer that is lost doesn't undo what was made.
            self.batches[name] = made
        return fault or made

    def _progress(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Work through a batch once it may end."""
        if batch["status"] != "validating" or self.batch_status == "in_progress":
            return batch
        batch["status"] = self.batch_status
        good: list[str] = []
        bad: list[str] = []
        for line in self.files[batch["input_file_id"]].splitlines() if self.batch_status != "failed" else ():
            asked = json.loads(line)
            reply = self._chat(asked["body"], self.faults)
            failed = isinstance(reply, Fault)
            response = {
                "status_code": reply.status if failed else 200,
                "body": reply.body if failed else {name: value for name, value in reply.items() if name != "headers"},
            }
            entry: dict[str, Any] = {"custom_id": asked["custom_id"], "response": response, "error": None}
            if failed and reply.how:
                entry |= {"response": None, "error": {"code": "batch_expired", "message": "not in time"}}
            (bad if failed else good).append(json.dumps(entry))
        for name, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                batch[name] = f"file-{next(self._ids)}"
                self.files[batch[name]] = "\n".join(lines) + "\n"
        return batch


def by_length(text: str) -> list[float]:
    """An embedding that says little."""
    return [1.0, len(text) / 100, text.count(" ") / 10]


def pick_labels(body: dict[str, Any]) -> str:
    """The default model: labels that occur as words in a task's text; none does = abstain.

    Labels come from the enum of the schema in `response_format`, else from a list `Labels: A, B` in the prompt; task
    ids from `id: 7` (or `"id": "7"`, `id="7"`) in the user's message.
    """
    user = body["messages"][-1]["content"]
    if isinstance(user, list):
        user = " ".join(part.get("text", "") for part in user)
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema", {})
    labels = find_labels(schema) or _labels_of_text("\n".join(str(item["content"]) for item in body["messages"]))
    starts = list(ID.finditer(user))
    answers = []
    for match, following in itertools.zip_longest(starts, starts[1:]):
        text = user[match.end() : following.start() if following else len(user)].lower()
        found = [label for label in labels if re.search(rf"\b{re.escape(label.lower())}\b", text)]
        answers.append({"id": match[1], "labels": found[:1], "confidence": 0.9 if found else 0.0})
    return json.dumps({"answers": answers})


def find_labels(schema: object) -> list[str]:
    """Labels of a schema: the enum of its property `labels`."""
    if isinstance(schema, list):
        return next((found for item in schema if (found := find_labels(item))), [])
    if not isinstance(schema, dict):
        return []
    wanted = schema.get("labels")
    if isinstance(wanted, dict):
        return [str(item) for item in wanted.get("items", wanted).get("enum", [])]
    return find_labels(list(schema.values()))


def _labels_of_text(text: str) -> list[str]:
    match = re.search(r"labels:\s*([^\n]+)", text, re.IGNORECASE)
    return [item.strip(" \"'.") for item in match[1].split(",")] if match else []


def _choice(index: int, said: Said, wants_logprobs: bool) -> dict[str, Any]:
    message = {"role": "assistant", "content": None if said.refusal else said.text, "refusal": said.refusal}
    logprobs = None
    if wants_logprobs and said.logprobs:
        tokens = re.findall(r"\w+|\W", said.text)
        logprobs = {
            "content": [{"token": token, "logprob": -0.1, "bytes": None, "top_logprobs": []} for token in tokens]
        }
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": said.finish_reason}


class _Server(QuietServer):
    def __init__(self, address: tuple[str, int], llm: LlmServer) -> None:
        self.llm = llm
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(_read(raw, self.headers.get("content-type", "")))

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: object) -> None:
        found = self.server.llm.handle(self.command, self.path, body, self.headers.get("authorization", ""))
        if isinstance(found, Fault):
            self._fail(found)
            return
        headers = found.pop("headers", {}) if isinstance(found, dict) else {}
        self._write(200, headers, found if isinstance(found, str) else json.dumps(found))

    def _fail(self, fault: Fault) -> None:
        if fault.how == "hang":
            self.server.llm.stopping.wait()
        if fault.how in {"hang", "cut"}:
            self._hang_up()
        elif fault.how == "cut body":
            self._write(200, fault.headers, '{"id": "chatcmpl', length=500)
            self._hang_up()
        elif fault.how in {"endless", "drip"}:
            self._go_on(fault)
        elif fault.how == "bomb":
            packed = gzip.compress(bytes(100_000_000), 1)
            self._write(fault.status, {"content-encoding": "gzip"} | dict(fault.headers), packed)
        elif fault.how == "bytes" and isinstance(fault.body, bytes):
            self._write(fault.status, fault.headers, fault.body)
        elif fault.how == "garbage":
            self._write(200, fault.headers, "<html><body>Welcome</body></html>")
        else:
            body = fault.body if isinstance(fault.body, str) else json.dumps(fault.body)
            self._write(fault.status, fault.headers, body)

    def _go_on(self, fault: Fault) -> None:
        """Write until the caller has had enough; `written` says how much that was."""
        self.send_response(fault.status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        piece = b" " if fault.how == "drip" else b" " * 100_000
        self.close_connection = True
        with suppress(OSError):
            while not self.server.llm.stopping.wait(0.02 if fault.how == "drip" else 0):
                self.wfile.write(piece)
                self.wfile.flush()
                self.server.llm.written += len(piece)

    def _write(self, status: int, headers: Mapping[str, str], body: str | bytes, length: int | None = None) -> None:
        raw = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-type" not in headers:
            self.send_header("content-type", "text/html" if raw.startswith(b"<") else "application/json")
        self.send_header("content-length", str(len(raw) if length is None else length))
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _read(raw: bytes, content_type: str) -> Any:
    """JSON, or the file of a form."""
    if not content_type.startswith("multipart/"):
        return json.loads(raw)
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    for part in raw.split(b"--" + boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b"filename=" in head:
            return content.removesuffix(b"\r\n").decode()
    return ""


def main() -> None:
    """Serve by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=11500)
    server = LlmServer(port=parser.parse_args().port)
    print(f"OPENAI_BASE_URL={server.base_url}", flush=True)  # noqa: T201 - for the person who started it
    with suppress(KeyboardInterrupt):
        server.serve()


if __name__ == "__main__":
    main()
