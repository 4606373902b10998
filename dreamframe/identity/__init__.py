"""What a value is, as a digest: of functions, classes, expressions, tables, files and settings."""
