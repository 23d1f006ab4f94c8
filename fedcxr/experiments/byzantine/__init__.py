"""A study of hostile sites: attacks, against ways to make the sites' updates one."""
