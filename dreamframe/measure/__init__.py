"""Pure statistics: what may be promised of rows from a sample of them. No step, no model, no file."""
