"""What users chain: frames, models, and their verbs, a family a file."""
