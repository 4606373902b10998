"""Data cards and model cards: pure functions of a plan and the records of its runs."""
