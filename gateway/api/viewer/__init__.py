"""The API reference: Swagger UI on each API's own description, to read it and to try it; needs no internet."""
