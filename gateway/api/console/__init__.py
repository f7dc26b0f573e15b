"""The console: accounts, instances and tokens in the browser, for the operator and for tenants."""
