"""What more than one product needs."""
