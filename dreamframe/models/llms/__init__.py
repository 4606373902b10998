"""Language models, a provider a file."""
