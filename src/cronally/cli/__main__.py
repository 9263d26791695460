"""`python -m cronally.cli`, where the command `cronally` is not on the path."""

from cronally.cli import main

main()
