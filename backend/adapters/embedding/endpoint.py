"""The `Embedder` port on any OpenAI-compatible `/v1/embeddings`."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.adapters.embedding.inputs import embed_parts
from backend.adapters.llm.calls import NO_KEY, address_of
from backend.adapters.llm.faults import Asked, Fault, FaultKind, status_fault
from backend.errors import LlmRefused, LlmUnavailable
from backend.ports.embeddings import ToEmbed

RETRIES = 4
"""By the SDK, with back-off, as long as the endpoint says that it may be asked again."""


class EndpointEmbedder:
    """One model of an endpoint. Opens nothing before its first call."""

    is_local = False

    def __init__(
        self, base_url: str, api_key: str, model: str, *, takes_images: bool, timeout_s: float, retries: int = RETRIES
    ) -> None:
        """`takes_images`: inputs may be `{"text": ...}` and `{"image": ...}`, as Jina's embedding servers take them."""
        self._retries = retries
        self._base_url = base_url
        self._key = api_key
        self._model = model
        self._takes_images = takes_images
        self._timeout_s = timeout_s
        self._client: Any = None

    @property
    def name(self) -> str:
        """See the port."""
        return self._model

    @property
    def takes_images(self) -> bool:
        """See the port."""
        return self._takes_images

    def embed(self, contents: Sequence[ToEmbed]) -> NDArray[np.float32]:
        """See the port."""
        return embed_parts(contents, self._text, lambda url: {"image": url}, self._call)

    def _text(self, text: str) -> object:
        return {"text": text} if self._takes_images else text

    def _call(self, inputs: Sequence[object]) -> NDArray[np.float32]:
        import openai  # noqa: PLC0415 - it takes seconds, and most commands never embed

        address = address_of(self._base_url)
        asked = Asked(address, self._model, self._key)
        if self._client is None:
            self._client = openai.OpenAI(
                api_key=self._key or NO_KEY,
                base_url=self._base_url,
                timeout=self._timeout_s,
                max_retries=self._retries,
                # See `open_client`.
                http_client=openai.DefaultHttpxClient(follow_redirects=False, timeout=self._timeout_s),
            )
        # Exceptions of the SDK carry request and response, so none is raised while one is handled.
        try:
            reply = self._client.embeddings.with_raw_response.create(
                model=self._model, input=inputs, encoding_format="float"
            )
            fault = None
        except openai.APIStatusError as error:
            fault = status_fault(asked, error.status_code, _json(error.response.text), error.response.headers)
        except openai.APIConnectionError:
            fault = Fault(FaultKind.WAIT, f"The embedding endpoint at {address} doesn't answer. Is it running?")
        if fault is not None:
            message = fault.message.replace("The LLM endpoint", "The embedding endpoint")
            is_passing = fault.kind in {FaultKind.WAIT, FaultKind.DOUBTFUL}
            raise LlmUnavailable(message) if is_passing else LlmRefused(message)
        vectors = _read(reply.text, len(inputs))
        if vectors is None:
            raise LlmRefused(
                f"The embedding endpoint at {address} answers with something else than one vector for each input. Is "
                f"{self._model} an embedding model, and OPENAI_BASE_URL the address of an OpenAI-compatible API?"
            )
        return vectors


def _read(text: str, n: int) -> NDArray[np.float32] | None:
    """Vectors in the order of the inputs; None when they aren't n finite ones of one length."""
    body = _json(text)
    try:
        items = sorted(body["data"], key=lambda item: int(item["index"]))
        vectors = np.array([item["embedding"] for item in items], dtype=np.float32)
    except (TypeError, KeyError, ValueError):
        return None
    is_right = vectors.ndim == 2 and len(vectors) == n and vectors.shape[1] > 0 and np.isfinite(vectors).all()
    return vectors if is_right else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
