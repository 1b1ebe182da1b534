"""`python -m playground`: the command line."""

from playground.cli import run

if __name__ == "__main__":
    run()
