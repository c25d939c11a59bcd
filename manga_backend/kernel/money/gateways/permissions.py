"""Rights over webhooks."""

READ_WEBHOOKS = "gateways:webhook:read"
REPLAY_WEBHOOKS = "gateways:webhook:replay"
