//! How much of unfinished and unhandled messages all connections together may hold.
//!
//! A message may be as long as `message_bytes_max`, on every connection at once; without a bound on the sum, a few hundred
//! clients could fill the machine. Short ones are free, so that nobody is refused for what others send.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a connection may hold without being counted.
const FREE_BYTES: usize = 128 << 10;

/// The sum, shared by all connections.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Inbox {
    pub(crate) fn new(bytes_max: usize) -> Arc<Inbox> {
        Arc::new(Inbox { bytes: AtomicUsize::new(0), bytes_max })
    }
}

/// One connection's part of it.
#[derive(Debug)]
pub(crate) struct InboxPart {
    inbox: Arc<Inbox>,
    counted: usize,
}

impl InboxPart {
    pub(crate) fn new(inbox: Arc<Inbox>) -> InboxPart {
        InboxPart { inbox, counted: 0 }
    }

    /// The connection holds `bytes`; false if that is too much for all together, and then nothing has changed.
    pub(crate) fn holds(&mut self, bytes: usize) -> bool {
        let bytes = if bytes <= FREE_BYTES { 0 } else { bytes };
        if bytes > self.counted {
            let more = bytes - self.counted;
            let before = self.inbox.bytes.fetch_add(more, Ordering::Relaxed);
            if before.saturating_add(more) > self.inbox.bytes_max {
                self.inbox.bytes.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        } else {
            self.inbox.bytes.fetch_sub(self.counted - bytes, Ordering::Relaxed);
        }
        self.counted = bytes;
        true
    }
}

impl Drop for InboxPart {
    fn drop(&mut self) {
        self.holds(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_bounded_and_given_back() {
        let inbox = Inbox::new(1 << 20);
        let (mut a, mut b) = (InboxPart::new(inbox.clone()), InboxPart::new(inbox.clone()));
        assert!(a.holds(600 << 10) && b.holds(FREE_BYTES) && b.holds(400 << 10));
        assert!(!b.holds(500 << 10), "too much together");
        assert!(b.holds(410 << 10), "what fits still fits");
        drop(a);
        assert!(b.holds(1 << 20));
        drop(b);
        assert_eq!(inbox.bytes.load(Ordering::Relaxed), 0);
    }
}
