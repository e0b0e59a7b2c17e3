"""The typed face of llama.cpp. Nothing outside this package imports `llama_cpp`.

library.py     imports the binding, checks its version, routes its log
vocabulary.py  text ↔ tokens
model.py       weights and adapters
mapping.py     gives back pages of mapped weights
projector.py   pictures and sounds: the pieces they are cut into, and rows of the model's input for these
context.py     KV memory, the batch, decode, logits and embeddings
contextparams.py  its sizes
sampler.py     chooses one of a few candidates
log.py         what the engine says while it loads: memory, offload, errors
"""

from scheduler.runner.engine.context import Context
from scheduler.runner.engine.contextparams import ContextParams
from scheduler.runner.engine.library import IncompatibleBinding
from scheduler.runner.engine.log import EngineLog
from scheduler.runner.engine.model import Model, ModelLoadError, ModelParams
from scheduler.runner.engine.sampler import CandidateSampler
from scheduler.runner.engine.vocabulary import Vocabulary

__all__ = [
    "CandidateSampler",
    "Context",
    "ContextParams",
    "EngineLog",
    "IncompatibleBinding",
    "Model",
    "ModelLoadError",
    "ModelParams",
    "Vocabulary",
]
