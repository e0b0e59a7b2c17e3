"""Where KV is kept and found again: which sequence holds what, and what of it a new prompt takes over."""
