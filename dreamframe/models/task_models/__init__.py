"""Models made for one task, such as classifiers, a provider a file."""
