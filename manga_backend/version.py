"""What is deployed."""

VERSION = "0.1.0"
