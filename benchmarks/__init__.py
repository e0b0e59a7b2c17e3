"""Comparisons with llama.cpp's own programs: `python -m benchmarks`, described in README.md beside this file."""
