"""What is run by `make`: the demo, and what writes files from code."""
