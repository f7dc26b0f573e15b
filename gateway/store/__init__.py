"""The chats' records in Redis, the scripts that change them, and the connection that carries both."""
