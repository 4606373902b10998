"""What was paid for, kept: answers, step outputs, models and the log of runs."""
