"""Other libraries on the same work, from environments of their own; nothing of them is installed beside dreamframe."""
