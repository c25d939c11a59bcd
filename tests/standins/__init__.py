"""Stand-ins: servers with real protocols that play the outside world."""
