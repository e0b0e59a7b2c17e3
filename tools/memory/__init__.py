"""Compares what the scheduler foretells of a model's memory with what the engine then takes."""
