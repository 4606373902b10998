"""What the page and the report show of a session, as plain JSON: read from the folder, nothing written, nothing asked."""
