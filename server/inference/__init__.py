"""From a wish for text to text, or for something else of a model: what every dialect shares.

request.py     the one form in which all dialects ask
models.py      the name in a request → a stored model, and what it may be asked
options.py     stored parameters + request options → how to load, how to sample
reference.py   a stored model → what the scheduler must know of it
assemble.py    messages → prompt, within the context
answer.py      lease, generate, parse: the answer as it grows
tenancy.py     the name in a request → the model, loaded, for what is no text
"""
