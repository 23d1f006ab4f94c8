"""`fedcxr privacy-sweep`: a comparison whose arms are levels of protection, and its curve."""
