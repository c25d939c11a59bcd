"""Filing questions, asking them again, and deciding them."""
