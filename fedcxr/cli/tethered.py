"""`python -m fedcxr.cli.tethered VERB …`: the command line, ended when its standard input ends.

What `fedcxr launch` starts: here or at the far end of an ssh, it is gone when the launcher is,
however that one ended.
"""

from fedcxr.cli.main import command
from fedcxr.deploy.orphans import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    command()
