"""Benchmarks: load goes to loopback only and stops by itself."""
