//! (read side, to be written)
