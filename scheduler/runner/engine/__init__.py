"""The typed face of llama.cpp. Nothing outside this package imports `llama_cpp`.

library.py     imports the binding, checks its version, routes its log
vocabulary.py  text ↔ tokens
model.py       weights and adapters
context.py     KV memory, the batch, decode, logits and embeddings
sampler.py     chains that choose a token
log.py         what the engine says while it loads: memory, offload, errors
"""

from scheduler.runner.engine.context import Context, ContextParams
from scheduler.runner.engine.log import EngineLog
from scheduler.runner.engine.model import Model, ModelLoadError, ModelParams
from scheduler.runner.engine.sampler import SamplerChain
from scheduler.runner.engine.vocabulary import Vocabulary

__all__ = [
    "Context",
    "ContextParams",
    "EngineLog",
    "Model",
    "ModelLoadError",
    "ModelParams",
    "SamplerChain",
    "Vocabulary",
]
