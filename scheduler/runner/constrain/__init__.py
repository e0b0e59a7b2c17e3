"""Text that must conform to a schema, a regular expression or a grammar."""
