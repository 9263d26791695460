"""Alerts as channels take them."""
