"""The faults campaign: kills, bad input and calamities, and what the tools make of them."""
