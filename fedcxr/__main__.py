"""`python -m fedcxr` is the command `fedcxr`."""

from fedcxr.cli.main import command

if __name__ == "__main__":
    command()
