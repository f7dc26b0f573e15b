"""OpenAPI 3.1 descriptions of both APIs; a test holds every route and status against the code."""
