"""Rights of clients, executors and moderators."""

POST_ORDERS = "urgent:orders:post"
TAKE_ORDERS = "urgent:orders:take"
USE_PROFILE = "urgent:profile:use"
RECHARGE = "urgent:wallet:recharge"
WRITE_REVIEWS = "urgent:reviews:write"
READ_ORDERS = "urgent:orders:read"
MODERATE_REVIEWS = "urgent:reviews:moderate"
