/// Whether the engine takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Good,
    /// Large batches are refused, and no media should be taken in.
    LowSpace {
        free_bytes: u64,
    },
    /// Writes are refused, except small ones that remove rows.
    FullDisk {
        free_bytes: u64,
    },
    /// Writes are refused, and why.
    Failed(String),
}

impl Health {
    /// Whether requests should be sent here.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Good | Self::LowSpace { .. })
    }

    /// Whether there is space for large things.
    pub fn has_space(&self) -> bool {
        !matches!(self, Self::LowSpace { .. } | Self::FullDisk { .. })
    }
}
