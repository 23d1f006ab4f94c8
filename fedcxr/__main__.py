"""`python -m fedcxr` is the command `fedcxr`."""

from fedcxr.cli.main import main

if __name__ == "__main__":
    main()
