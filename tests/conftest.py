"""Settings shared by all tests."""

from __future__ import annotations

import hypothesis

# A deadline per example measures the machine, not the code: speed has its own target, `make bench`.
hypothesis.settings.register_profile("solvent", deadline=None)
hypothesis.settings.load_profile("solvent")
