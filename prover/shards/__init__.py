"""A publication in shards: how accounts are dealt, what is on disk while it is proved, and how a run resumes."""
