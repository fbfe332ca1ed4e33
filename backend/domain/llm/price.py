"""What a request will cost, before it is sent: an expected price, and a bound that no reply exceeds.

Tokens are counted by length, because each model has its own tokenizer, most endpoints don't say which, and the response
says the true number afterwards.
"""

import json
import math

from backend.domain.llm.records import LlmRequest, ModelPrice

ASCII_BYTES_PER_TOKEN = 4.0
"""OpenAI's own rule for English: a token is about four characters
(https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them)."""
OTHER_BYTES_PER_TOKEN = 3.0
"""Other scripts take two to four UTF-8 bytes for a character and have fewer characters in a token: about one token for
a Chinese character (three bytes), two for three Cyrillic letters (six bytes). Our own choice, on the dear side."""
MESSAGES = 2
"""System and user."""
MESSAGE_TOKENS = 4
"""What the chat format adds to a message (https://github.com/openai/openai-cookbook, "How to count tokens with
tiktoken": three or four for each, and three before the reply)."""
MOST_MESSAGE_TOKENS = 64
"""A bound on that: chat templates of open models have longer headers, with dates, and a text of their own."""
REPLY_TOKENS_PER_TASK = 30
"""Expected length of a reply for each task and sample: an id, a label and a confidence as JSON."""


def estimated_tokens(text: str) -> int:
    """Expected number of tokens of a text, by its length in UTF-8 bytes."""
    n_bytes = most_tokens(text)
    n_ascii = sum(map(str.isascii, text))
    return math.ceil(n_ascii / ASCII_BYTES_PER_TOKEN + (n_bytes - n_ascii) / OTHER_BYTES_PER_TOKEN)


def most_tokens(text: str) -> int:
    """Number of tokens that no byte-level BPE tokenizer exceeds: each of its tokens covers at least one UTF-8 byte.

    Those are the tokenizers of GPT-2 and all later OpenAI models, Llama 3, Qwen and Mistral (since Tekken). A tokenizer
    that rewrites text first (SentencePiece with NFKC) can make more bytes of a few rare characters.
    """
    # Lone surrogates can't be sent as they are: what replaces them has three bytes, as here.
    return len(text.encode("utf-8", "surrogatepass"))


def reservation(request: LlmRequest, price: ModelPrice) -> float:
    """Price in USD that a request can't exceed, if the endpoint heeds `max_output_tokens`.

    Every byte of messages and schema is a token. The input counts once for each sample, because an endpoint that gives
    one sample at a time is asked several times.
    """
    texts = (request.system, request.user, json.dumps(request.schema))
    input_tokens = sum(map(most_tokens, texts)) + MESSAGES * MOST_MESSAGE_TOKENS
    input_tokens += len(request.images) * price.image_tokens
    samples = max(1, request.source.samples)
    return price.of(input_tokens * samples, request.max_output_tokens * samples)


def expected_tokens(
    request: LlmRequest, image_tokens: int, reply_tokens: float = REPLY_TOKENS_PER_TASK
) -> tuple[int, int]:
    """Expected input and output tokens of a request. reply_tokens: for each task and sample, from earlier replies where
    there are any."""
    texts = (request.system, request.user, json.dumps(request.schema, ensure_ascii=False))
    input_tokens = sum(map(estimated_tokens, texts)) + MESSAGES * MESSAGE_TOKENS
    input_tokens += len(request.images) * image_tokens
    reply = min(math.ceil(reply_tokens * len(request.contents)), request.max_output_tokens)
    return input_tokens, reply * max(1, request.source.samples)
