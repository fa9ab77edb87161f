//! (read side, to be written)

#[derive(Debug, Default)]
pub(crate) struct Typing;
