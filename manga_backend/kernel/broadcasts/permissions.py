"""Rights over broadcasts."""

READ_BROADCASTS = "broadcasts:broadcast:read"
SEND_BROADCASTS = "broadcasts:broadcast:send"
