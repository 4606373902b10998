"""Tables of other libraries and of the Hugging Face Hub: read here, and pushed from here."""
