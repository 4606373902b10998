"""Steps, a family a file."""
