mod ids;
pub use ids::{EventNo, PageNo, StateKeyNo, StateRoot};
