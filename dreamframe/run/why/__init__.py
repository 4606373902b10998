"""One row's story: how it was made, out of the plan and of what a session keeps. Asks nothing, and nothing is written down for it in a run."""
