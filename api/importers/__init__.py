"""Other people's account files become snapshots: exactly, or not at all."""
