"""Urgent orders: a client asks for help within the hour, executors pay to see the contact."""
