"""The plan as a value: steps, what is shown of them, rules that rewrite them, and JSON."""
