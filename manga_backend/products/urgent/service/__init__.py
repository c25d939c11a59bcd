"""Commands on orders, takes, profiles and reviews."""
