"""The book: accounts, transfers between them, wallets."""
