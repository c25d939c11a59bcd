"""Payment gateways: hosted checkouts, signed webhooks, payouts."""
