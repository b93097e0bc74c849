"""The rules of the store as tables: what is sent, and what must come back."""
