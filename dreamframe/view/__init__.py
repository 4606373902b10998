"""Looking at sessions and running prompts from outside Python: the command line, and the page that it opens."""
