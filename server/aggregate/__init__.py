"""How the sites' updates of a round become one, a file and a value each."""
