"""Commands of the bot's package, one file per matter."""
