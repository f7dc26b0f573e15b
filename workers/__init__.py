"""The back door: arq runs the wake-ups that the chats' records ask for."""
