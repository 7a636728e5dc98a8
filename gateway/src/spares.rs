//! Buffers of one core that are used again: a request takes one while its bytes move, so that an
//! idle connection holds none and a busy one allocates none.

use std::cell::RefCell;

/// Most buffers that are kept.
const KEPT_MAX: usize = 256;
/// A larger buffer is given back to the system, in bytes.
const BYTES_MAX: usize = 16 * 1024;

/// The kept buffers, all of them empty.
#[derive(Debug, Default)]
pub(crate) struct Spares(RefCell<Vec<Vec<u8>>>);

impl Spares {
    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps `buffer` for the next, unless it is too large or there are enough.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if (1..=BYTES_MAX).contains(&buffer.capacity()) && kept.len() < KEPT_MAX {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_unless_it_grew_too_large() {
        let spares = Spares::default();
        spares.give_back(vec![1; 100]);
        let again = spares.take();
        assert!(again.is_empty() && again.capacity() >= 100);
        spares.give_back(vec![1; BYTES_MAX + 1]);
        assert_eq!(spares.take().capacity(), 0);
        for _ in 0..=KEPT_MAX {
            spares.give_back(vec![1]);
        }
        assert_eq!(spares.0.borrow().len(), KEPT_MAX);
    }
}
