//! Where things are: regions, what lies in them, and what they are called.

mod locate;
mod named;

pub use locate::{locate, placed};
pub use named::named;
