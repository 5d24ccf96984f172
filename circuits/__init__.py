"""What is proved, as data: constraint systems, their gadgets and hash instances; no arrays and no speed."""
