"""Other people's numbers, as published, and whether one's own may stand beside them."""
