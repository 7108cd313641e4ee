//! Who is connected, for cancel requests: process id and secret to session.

use std::collections::HashMap;
use std::sync::Arc;

use heliosdb_contracts::Canceller;
use heliosdb_runtime::Entropy;
use parking_lot::Mutex;

#[derive(Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<i32, Session>>,
}

struct Session {
    secret: Vec<u8>,
    /// Known once the session is open.
    canceller: Option<Arc<dyn Canceller>>,
}

impl Registry {
    /// Gives out a process id and a secret of `secret_len` bytes, unless `most` are connected.
    pub(crate) fn enter(self: &Arc<Registry>, entropy: &dyn Entropy, secret_len: usize, most: usize) -> Option<Seat> {
        let mut secret = vec![0; secret_len];
        entropy.fill(&mut secret);
        let mut sessions = self.sessions.lock();
        if sessions.len() >= most {
            return None;
        }
        let pid = loop {
            // Positive, as process ids are.
            let pid = (entropy.next_u64() & 0x7fff_ffff) as i32;
            if pid != 0 && !sessions.contains_key(&pid) {
                break pid;
            }
        };
        sessions.insert(pid, Session { secret: secret.clone(), canceller: None });
        Some(Seat { registry: self.clone(), pid, secret })
    }

    /// Cancels what the session runs, if pid and secret are right. Takes the same time for every wrong secret.
    pub(crate) fn cancel(&self, pid: i32, secret: &[u8]) -> bool {
        let canceller = {
            let sessions = self.sessions.lock();
            let Some(session) = sessions.get(&pid) else { return false };
            let same = session.secret.len() == secret.len()
                && session.secret.iter().zip(secret).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0;
            if !same {
                return false;
            }
            session.canceller.clone()
        };
        if let Some(canceller) = canceller {
            canceller.cancel();
        }
        true
    }
}

/// A session's place; leaving frees it.
pub(crate) struct Seat {
    registry: Arc<Registry>,
    pub(crate) pid: i32,
    pub(crate) secret: Vec<u8>,
}

impl Seat {
    pub(crate) fn opened(&self, canceller: Arc<dyn Canceller>) {
        if let Some(session) = self.registry.sessions.lock().get_mut(&self.pid) {
            session.canceller = Some(canceller);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.registry.sessions.lock().remove(&self.pid);
    }
}
