"""Rights over subscriptions."""

GIVE_DAYS = "memberships:subscription:give"
