"""Engines: where the segments of a plan run."""
