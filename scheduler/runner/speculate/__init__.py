"""Guessing how sequences go on, for the model to verify several tokens in one step.

propose → (the loop evaluates [token, d1 … dk] in one batch and chooses row by row until a choice differs) → settle

The model's own sampler chooses every token, so the answer is the one it would have given anyway; a wrong guess costs
rows. Which guesses are worth theirs is decided by what has been measured: `cost` times steps, `odds` counts how often
guesses came true. They come from the text itself (`lookup`) and from a smaller model where one is given (`draft`).
"""

from scheduler.runner.speculate.loading import speculation_for
from scheduler.runner.speculate.speculation import Speculation

__all__ = ["Speculation", "speculation_for"]
