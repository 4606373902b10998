"""What models behind an HTTP API share: settings, HTTP, wire formats, what servers say of errors and limits."""
