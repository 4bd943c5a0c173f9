use std::io;

/// What may be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same may succeed later.
    Later,
    /// The same will fail again until someone mends the cause.
    Never,
}

/// A full disk may be emptied; everything else stays until someone mends it.
pub(crate) fn retry_io(error: &io::Error) -> Retry {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::Interrupted => Retry::Later,
        _ => Retry::Never,
    }
}
