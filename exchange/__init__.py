"""The venue's ledger and risk engine come with a later version: there is no code here yet."""
