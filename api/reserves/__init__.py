"""Reserves with signatures: what an exchange says it holds, and whose key signed for it. See docs/reserves.md."""
