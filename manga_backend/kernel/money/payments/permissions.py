"""Rights over payments."""

PAY = "payments:payment:submit"
READ_OWN_PAYMENTS = "payments:payment:read_own"
READ_PAYMENTS = "payments:payment:read"
REFUND = "payments:payment:refund"
