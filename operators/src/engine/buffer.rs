//! Buffers that are used again from epoch to epoch.

/// So many bytes stay: of what a worker takes into a live epoch (`epoch.max_records`) nearly all buffers need less.
const KEPT: usize = 4 << 20;

/// Lets go of what a buffer has, and of its memory where that is far more than most epochs need: the first epoch may have a whole city,
/// and the memory for that would be kept for ever.
pub(crate) fn clear<T>(buffer: &mut Vec<T>) {
    buffer.clear();
    buffer.shrink_to(KEPT / size_of::<T>().max(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_city_needed_is_not_kept() {
        let most = KEPT / size_of::<u64>();
        let mut buffer = vec![0u64; 10 * most];
        clear(&mut buffer);
        assert!(buffer.is_empty() && buffer.capacity() < 2 * most);
        buffer.resize(most, 0);
        let kept = buffer.capacity();
        clear(&mut buffer);
        assert_eq!(buffer.capacity(), kept, "what most epochs need stays");
    }
}
