"""The stores of a session."""
