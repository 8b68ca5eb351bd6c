"""Mutation testing: small faults in the package, and whether its tests notice them."""
