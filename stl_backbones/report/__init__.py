"""From finished cells to tables and pages; rounding happens here alone."""
