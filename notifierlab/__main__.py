"""`python -m notifierlab`."""

from notifierlab.cli import main

main()
