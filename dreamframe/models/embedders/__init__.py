"""Embedders, a provider a file."""
