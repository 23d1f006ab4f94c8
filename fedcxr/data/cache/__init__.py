"""Every image of a data set decoded once, into a file that processes map and share."""
