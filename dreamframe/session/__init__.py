"""Sessions: where plans run, what they kept, and how it is looked at, checked, packed and compared."""
