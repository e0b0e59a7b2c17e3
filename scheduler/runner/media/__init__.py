"""Pictures and sounds among the tokens of a prompt."""
