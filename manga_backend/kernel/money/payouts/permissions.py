"""Rights over withdrawals."""

WITHDRAW = "payouts:payout:request"
READ_OWN_PAYOUTS = "payouts:payout:read_own"
READ_PAYOUTS = "payouts:payout:read"
SETTLE_PAYOUTS = "payouts:payout:settle"
VOUCH_FOR_PAYOUTS = "payouts:payout:vouch"
