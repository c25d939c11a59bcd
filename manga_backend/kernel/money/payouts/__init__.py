"""Withdrawals: money from wallets, sent out by a gateway or by hand."""
