"""Rules that save calls and change no row, a rule a file."""
