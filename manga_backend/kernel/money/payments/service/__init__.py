"""Commands of payments: submit, decide, redeem."""
