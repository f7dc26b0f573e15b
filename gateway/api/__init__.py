"""The front door: aiohttp in, domain values inside."""
