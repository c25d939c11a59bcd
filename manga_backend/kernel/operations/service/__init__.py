"""Commands and checks of running a deployment."""
