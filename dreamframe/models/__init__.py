"""Models of others: what is asked of them, and what they share. One provider a file in llms, embedders and task_models."""
