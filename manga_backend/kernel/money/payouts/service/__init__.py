"""Commands of withdrawals."""
