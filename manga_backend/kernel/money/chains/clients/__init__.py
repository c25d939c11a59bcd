"""Reading the chains: each network's API, and the agreement of several sources."""
