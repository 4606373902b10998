"""The commands, a family a file."""
