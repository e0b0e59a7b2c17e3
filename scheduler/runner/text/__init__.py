"""From the bytes of tokens to text that may be sent."""
