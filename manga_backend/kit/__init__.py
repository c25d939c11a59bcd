"""Business-free foundations: they would fit another company's app unchanged."""
