"""Benchmarks: programs that print one JSON object each. `make bench` runs them."""
