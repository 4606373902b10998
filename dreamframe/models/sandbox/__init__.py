"""Programs of others, in processes of their own: what limits them, what isolates them on this system, and what became of them."""
