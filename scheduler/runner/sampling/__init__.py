"""From a row of logits to a token, and what was thought of the others."""
