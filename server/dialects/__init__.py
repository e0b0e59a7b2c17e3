"""Pure conversion between what clients of an API send and read and the internal requests and answers."""
