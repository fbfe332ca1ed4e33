"""An OpenAI-compatible endpoint (OpenAI, Azure, Ollama, vLLM, llama.cpp): the `LlmEndpoint` port, and images."""
