"""What is known of the networks on which people pay."""
