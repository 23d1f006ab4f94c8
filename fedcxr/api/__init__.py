"""The verbs of the command line from Python: keywords are the flags, results show themselves."""
