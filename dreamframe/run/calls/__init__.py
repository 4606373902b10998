"""Calls to models: one queue a client, limits, what is kept and what is paid."""
