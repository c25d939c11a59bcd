"""What is sold; each product can be switched off."""
