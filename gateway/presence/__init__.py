"""The domain: what a chat shows and the promise that it ends; start reading at `service`. No library of the edges."""
