"""Prompts: how a row becomes the text or the messages that a model is asked, a kind a file."""
