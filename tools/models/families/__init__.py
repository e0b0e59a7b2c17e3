"""Tiny GGUF models whose memory is not a plain KV cache, for tests: sliding windows, recurrent states, both, and MLA.

    python -m tools.models.families CHECKPOINTS LEGACY TINYCHAT OUT

Writes OUT/<name>.gguf (half precision weights) and OUT/expected.json.gz. CHECKPOINTS holds the Hugging Face checkpoints
`gemma2` and `deepseek3`, LEGACY the files `gemma3-vision`, `qwen35`, `qwen3next`, `gpt-oss` and `olmo3` in the layout
of older converters, each with an `expected.json` of reference values; TINYCHAT is a GGUF file that lends its vocabulary
to `mamba`, whose weights are random. Needs numpy, gguf and llama-cpp-python.

This makes test models and nothing else: it knows these few inputs, and trusts them.
"""
