"""Records to splits and sites: whole patients only, with the proof that no two sets share one."""
