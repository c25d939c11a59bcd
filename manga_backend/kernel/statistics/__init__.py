"""Roll-ups fed by events; the stats route and the dashboard read them."""
