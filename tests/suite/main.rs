//! One test binary: each module one promise.

mod batch_equals_stream;
mod exactness;
mod kafka;
