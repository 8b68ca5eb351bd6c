"""Model + data + protocol -> cells."""
