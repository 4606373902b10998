"""Trainers, an algorithm a file."""
