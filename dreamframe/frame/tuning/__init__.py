"""Finding better prompts: what is asked of the reflecting model, trials of prompts on labelled rows, and the search."""
