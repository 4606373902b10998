"""Running a plan: segments, calls, training, what is kept and what is told of it."""
