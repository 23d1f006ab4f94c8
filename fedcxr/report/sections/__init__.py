"""The sections of a page, one a file: what each shows of a result, None for nothing."""
