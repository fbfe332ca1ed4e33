"""The `Embedder` port on any OpenAI-compatible `/v1/embeddings`."""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backend.adapters.embedding.inputs import embed_parts
from backend.adapters.llm.calls import Calls, Timing, address_of
from backend.adapters.llm.faults import Asked, EndpointFault, FaultKind
from backend.adapters.llm.pace import Pace
from backend.domain.outside import bounded_whole, read_json
from backend.errors import LlmRefused, LlmUnavailable
from backend.ports.embeddings import ToEmbed

RETRIES = 4
"""With back-off, as long as the endpoint says that it may be asked again."""
LARGEST = 60_000.0
"""Of a vector's numbers: they are kept in half precision, which ends at 65,504."""


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

    @property
    def name(self) -> str:
        """See the port."""
        return self._model

    @property
    def takes_images(self) -> bool:
        """See the port."""
        return self._takes_images

    def quick_characters(self) -> int:
        """See the port: nobody waits for it."""
        return 0

    def embed(self, contents: Sequence[ToEmbed]) -> NDArray[np.float32]:
        """See the port: float32 (n, d), in the order of the contents."""
        return embed_parts(contents, self._text, lambda url: {"image": url}, self._call)

    def _text(self, text: str) -> object:
        return {"text": text} if self._takes_images else text

    def _call(self, inputs: Sequence[object]) -> NDArray[np.float32]:
        answer = asyncio.run(self._ask(inputs))
        address = address_of(self._base_url)
        if isinstance(answer, EndpointFault):
            message = answer.message.replace("The LLM endpoint", "The embedding endpoint")
            is_passing = answer.kind in {FaultKind.WAIT, FaultKind.DOUBTFUL}
            raise LlmUnavailable(message) if is_passing else LlmRefused(message)
        vectors = _vectors_in(answer, len(inputs))
        if vectors is None:
            raise LlmRefused(
                f"The embedding endpoint at {address} answers with something else than one vector for each input. Is "
                f"{self._model} an embedding model, and OPENAI_BASE_URL the address of an OpenAI-compatible API?"
            )
        return vectors

    async def _ask(self, inputs: Sequence[object]) -> str | EndpointFault:
        from backend.adapters.llm.client import open_client  # noqa: PLC0415 - see there

        tries = 1 + self._retries
        calls = Calls(Timing(time.monotonic, asyncio.sleep, random.random), self._timeout_s, asyncio.Event())
        asked = Asked(address_of(self._base_url), self._model, self._key)
        async with open_client(self._base_url, self._key, self._timeout_s) as client:
            create = partial(client.embeddings.with_raw_response.create, model=self._model, encoding_format="float")
            answer = await calls.call(partial(create, input=inputs), str, asked, Pace(time.monotonic), tries, tries)
        return answer if isinstance(answer, EndpointFault) else answer.value


def _vectors_in(text: str, n: int) -> NDArray[np.float32] | None:
    """Vectors in the order of the inputs; one that holds something else than usable numbers is all NaN. None when they
    aren't n of one length, or none of them is usable."""
    body = read_json(text)
    items = body.get("data") if isinstance(body, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    by_place = {bounded_whole(item.get("index"), 0, n - 1): item.get("embedding") for item in items}
    rows = [row for place in range(n) if isinstance(row := by_place.get(place), list)]
    if not len(items) == len(rows) == n or len({len(row) for row in rows}) > 1:
        return None
    vectors = np.array([_vector(row) for row in rows], dtype=np.float32)
    return vectors if np.isfinite(vectors).all(axis=1).any() and vectors.size else None


def _vector(row: Sequence[object]) -> NDArray[np.float64]:
    try:
        vector = np.array(row, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        vector = np.array([])
    is_usable = vector.shape == (len(row),) and bool((np.abs(vector) <= LARGEST).all())
    return vector if is_usable else np.full(len(row), np.nan)
