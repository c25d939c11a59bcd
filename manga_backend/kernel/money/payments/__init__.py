"""Invoices, payments, the ways to pay and what a paid invoice does."""
