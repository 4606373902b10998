"""Plans as JSON and back: what a stranger reads is built out of known records, and no code of the text is ever run.

`expressions` polars expressions; `registry` the records that a plan may hold; `write` a plan as JSON; `read` JSON as a plan.
"""
