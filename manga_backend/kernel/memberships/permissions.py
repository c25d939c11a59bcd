"""Rights over plans and subscriptions."""

GIVE_DAYS = "memberships:subscription:give"
READ_PLANS = "memberships:plan:read"
CHANGE_PLANS = "memberships:plan:change"
