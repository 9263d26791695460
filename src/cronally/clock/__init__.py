"""Time zones: which instants an expression names in a zone, and what a change of the clock does to them."""
