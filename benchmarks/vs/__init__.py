"""The same work through other frameworks, each with its own set-up."""
