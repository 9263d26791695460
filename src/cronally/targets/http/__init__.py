"""The target `http`: a request to an address of the account."""
