"""Models made for one task, such as classifiers. One provider a file beside this one."""
