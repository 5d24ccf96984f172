"""The exchange as adversary: mutations, fuzzing, second opinions, faults; `make adversary` runs the nightly sizes."""
