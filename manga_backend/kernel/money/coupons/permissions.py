"""Rights over coupons."""

READ_COUPONS = "coupons:coupon:read"
ISSUE_COUPONS = "coupons:coupon:issue"
