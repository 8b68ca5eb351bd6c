"""The paper's published rows, and what can be said about them."""
