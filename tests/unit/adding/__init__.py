"""Files that somebody might add to the package: test_adding.py puts each into a copy of it."""
