"""What developers, tests and checks run beside the application, and a deployment never needs."""
