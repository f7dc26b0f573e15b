"""The sandbox: an upstream of our own that plays the WhatsApp API, shows a phone, and fails on demand."""
