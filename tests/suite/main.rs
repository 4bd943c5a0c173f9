//! One test binary: each module one promise.

mod exactness;
