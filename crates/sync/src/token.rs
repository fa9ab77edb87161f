//! Sync tokens.

use std::fmt;

use blaupause_data::StreamPos;

/// Where a client's knowledge ends: a position of the stream, and a counter for what is not
/// stored (typing, presence), which starts anew with every start of the server.
///
/// As text: `s<position>_<boot>_<count>`, and `_<position>` if there are more sticky events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncToken {
    pub pos: StreamPos,
    pub boot: u32,
    pub passing: u64,
    /// Where the sticky events end that the client was told of, if there are more of them.
    pub sticky: Option<StreamPos>,
}

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 100;

impl SyncToken {
    /// From a client's `since` or `pos`; `None` if we cannot have given it.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let mut fields = text.strip_prefix('s')?.split('_');
        let pos = StreamPos(fields.next()?.parse().ok()?);
        let (boot, passing) = match fields.next() {
            None => (0, 0),
            Some(boot) => (boot.parse().ok()?, fields.next()?.parse().ok()?),
        };
        let sticky = match fields.next() {
            None => None,
            Some(sticky) => Some(StreamPos(sticky.parse().ok()?)),
        };
        fields.next().is_none().then_some(Self { pos, boot, passing, sticky })
    }
}

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}_{}_{}", self.pos.0, self.boot, self.passing)?;
        self.sticky.map_or(Ok(()), |sticky| write!(f, "_{}", sticky.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_garbage_does_not() {
        let token = SyncToken { pos: StreamPos(42), boot: 7, passing: 3, sticky: None };
        assert_eq!(SyncToken::parse(&token.to_string()), Some(token));
        let behind = SyncToken { sticky: Some(StreamPos(40)), ..token };
        assert_eq!(SyncToken::parse(&behind.to_string()), Some(behind));
        assert_eq!(SyncToken::parse("s5").map(|token| token.pos), Some(StreamPos(5)));
        for bad in ["", "s", "bad", "t5", "s-1", "s1_2", "s1_2_3_4_5", "s99999999999999999999999"] {
            assert_eq!(SyncToken::parse(bad), None, "{bad}");
        }
        assert_eq!(SyncToken::parse(&format!("s{}", "1".repeat(5_000))), None);
    }
}
