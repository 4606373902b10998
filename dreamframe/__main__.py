"""`python -m dreamframe`: the command line."""

from dreamframe.view.cli import main

if __name__ == "__main__":
    main()
