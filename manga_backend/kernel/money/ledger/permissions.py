"""Rights over the book."""

READ_OWN_WALLET = "ledger:wallet:read_own"
READ_LEDGER = "ledger:transfer:read"
CORRECT_WALLETS = "ledger:wallet:correct"
