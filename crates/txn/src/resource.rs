//! What can be locked: a tree, or a row of a tree by its key, on a branch.

use std::fmt;

use bytes::Bytes;
use heliosdb_types::{BranchId, TreeRef};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Resource {
    pub branch: BranchId,
    pub tree: TreeRef,
    /// `None`: the tree itself.
    pub key: Option<Bytes>,
}

impl Resource {
    pub fn tree(branch: BranchId, tree: TreeRef) -> Resource {
        Resource { branch, tree, key: None }
    }

    pub fn row(branch: BranchId, tree: TreeRef, key: Bytes) -> Resource {
        Resource { branch, tree, key: Some(key) }
    }
}

/// For messages. Keys are shown as bytes: only the catalog knows what they mean.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let Some(key) = &self.key else { return write!(f, "tree {}", self.tree) };
        write!(f, "row \\x")?;
        for byte in key.iter().take(SHOWN) {
            write!(f, "{byte:02x}")?;
        }
        let more = if key.len() > SHOWN { "..." } else { "" };
        write!(f, "{more} of tree {}", self.tree)
    }
}
