"""`presence-gateway dev`: everything on one machine, started, watched and stopped by one process."""
