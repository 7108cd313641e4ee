//! What can be locked: a tree, a row of a tree by its key, or a name applications agree on; on a branch.

use std::fmt;

use bytes::Bytes;
use heliosdb_contracts::AdvisoryKey;
use heliosdb_types::{BranchId, TreeRef};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Resource {
    pub branch: BranchId,
    pub thing: Thing,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Thing {
    Tree(TreeRef),
    Row(TreeRef, Bytes),
    Advisory(AdvisoryKey),
}

impl Resource {
    pub fn tree(branch: BranchId, tree: TreeRef) -> Resource {
        Resource { branch, thing: Thing::Tree(tree) }
    }

    /// The tree it is, if it is one.
    pub fn as_tree(&self) -> Option<TreeRef> {
        match self.thing {
            Thing::Tree(tree) => Some(tree),
            Thing::Row(..) | Thing::Advisory(_) => None,
        }
    }

    pub fn row(branch: BranchId, tree: TreeRef, key: Bytes) -> Resource {
        Resource { branch, thing: Thing::Row(tree, key) }
    }

    pub fn advisory(key: AdvisoryKey) -> Resource {
        Resource { branch: BranchId(0), thing: Thing::Advisory(key) }
    }
}

/// For messages. Keys are shown as bytes: only the catalog knows what they mean.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        match &self.thing {
            Thing::Tree(tree) => write!(f, "tree {tree}"),
            Thing::Advisory(AdvisoryKey { database, class, object, kind }) => {
                write!(f, "advisory lock [{database},{class},{object},{kind}]")
            }
            Thing::Row(tree, key) => {
                write!(f, "row \\x")?;
                for byte in key.iter().take(SHOWN) {
                    write!(f, "{byte:02x}")?;
                }
                let more = if key.len() > SHOWN { "..." } else { "" };
                write!(f, "{more} of tree {tree}")
            }
        }
    }
}
