//! Privileges on one object: who may do what, granted by whom. The text form is PostgreSQL's `aclitem[]`.
//!
//! Invariants: an object without an [`Acl`] has its kind's default one; the owner grants everything and is the grantor of
//! whatever a superuser or a member of the owning role grants; an item that gives nothing is not kept.

use std::fmt::Write;
use std::ops::{BitAnd, BitOr, Not};

use heliosdb_types::{Error, Oid, Result, SqlState};
use serde::{Deserialize, Serialize};

/// The grantee that stands for everybody.
pub const PUBLIC: Oid = Oid(0);

/// A set of privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Privileges(pub u16);

macro_rules! privileges {
    ($($name:ident = $bit:literal, $letter:literal, $text:literal;)*) => {
        impl Privileges {
            $(pub const $name: Privileges = Privileges(1 << $bit);)*

            /// Letter and name of each, in the order PostgreSQL prints them.
            pub const NAMED: &'static [(Privileges, char, &'static str)] =
                &[$((Privileges::$name, $letter, $text)),*];
        }
    };
}

privileges! {
    INSERT = 0, 'a', "INSERT";
    SELECT = 1, 'r', "SELECT";
    UPDATE = 2, 'w', "UPDATE";
    DELETE = 3, 'd', "DELETE";
    TRUNCATE = 4, 'D', "TRUNCATE";
    REFERENCES = 5, 'x', "REFERENCES";
    TRIGGER = 6, 't', "TRIGGER";
    EXECUTE = 7, 'X', "EXECUTE";
    USAGE = 8, 'U', "USAGE";
    CREATE = 9, 'C', "CREATE";
    TEMPORARY = 10, 'T', "TEMPORARY";
    CONNECT = 11, 'c', "CONNECT";
}

impl Privileges {
    pub const NONE: Privileges = Privileges(0);

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, other: Privileges) -> bool {
        self & other == other
    }

    /// A privilege by its SQL name; TEMP is TEMPORARY.
    pub fn named(name: &str) -> Option<Privileges> {
        let name = if name.eq_ignore_ascii_case("temp") { "TEMPORARY" } else { name };
        Privileges::NAMED.iter().find(|(_, _, known)| known.eq_ignore_ascii_case(name)).map(|(bit, _, _)| *bit)
    }

    /// Each privilege of the set with its name.
    pub fn each(self) -> impl Iterator<Item = (Privileges, &'static str)> {
        Privileges::NAMED.iter().filter(move |(bit, _, _)| self.contains(*bit)).map(|(bit, _, name)| (*bit, *name))
    }
}

impl BitOr for Privileges {
    type Output = Privileges;
    fn bitor(self, other: Privileges) -> Privileges {
        Privileges(self.0 | other.0)
    }
}

impl BitAnd for Privileges {
    type Output = Privileges;
    fn bitand(self, other: Privileges) -> Privileges {
        Privileges(self.0 & other.0)
    }
}

impl Not for Privileges {
    type Output = Privileges;
    fn not(self) -> Privileges {
        Privileges(!self.0)
    }
}

/// What has privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    Table,
    Column,
    Sequence,
    Database,
    Schema,
    Type,
    Function,
}

impl ObjectKind {
    /// Every privilege there is on such an object.
    pub fn all(self) -> Privileges {
        match self {
            ObjectKind::Table => {
                Privileges::INSERT
                    | Privileges::SELECT
                    | Privileges::UPDATE
                    | Privileges::DELETE
                    | Privileges::TRUNCATE
                    | Privileges::REFERENCES
                    | Privileges::TRIGGER
            }
            ObjectKind::Column => Privileges::INSERT | Privileges::SELECT | Privileges::UPDATE | Privileges::REFERENCES,
            ObjectKind::Sequence => Privileges::SELECT | Privileges::UPDATE | Privileges::USAGE,
            ObjectKind::Database => Privileges::CREATE | Privileges::TEMPORARY | Privileges::CONNECT,
            ObjectKind::Schema => Privileges::USAGE | Privileges::CREATE,
            ObjectKind::Type => Privileges::USAGE,
            ObjectKind::Function => Privileges::EXECUTE,
        }
    }

    /// What everybody may do by default.
    pub fn public(self) -> Privileges {
        match self {
            ObjectKind::Database => Privileges::TEMPORARY | Privileges::CONNECT,
            ObjectKind::Type => Privileges::USAGE,
            ObjectKind::Function => Privileges::EXECUTE,
            ObjectKind::Table | ObjectKind::Column | ObjectKind::Sequence | ObjectKind::Schema => Privileges::NONE,
        }
    }

    /// The word messages use.
    pub fn noun(self) -> &'static str {
        match self {
            ObjectKind::Table => "table",
            ObjectKind::Column => "column",
            ObjectKind::Sequence => "sequence",
            ObjectKind::Database => "database",
            ObjectKind::Schema => "schema",
            ObjectKind::Type => "type",
            ObjectKind::Function => "function",
        }
    }
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclItem {
    /// A role, or [`PUBLIC`].
    pub grantee: Oid,
    pub grantor: Oid,
    pub privileges: Privileges,
    /// Those that may be granted on; a subset of `privileges`.
    #[serde(default, skip_serializing_if = "is_none")]
    pub grantable: Privileges,
}

fn is_none(privileges: &Privileges) -> bool {
    privileges.is_empty()
}

/// All grants on one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Acl(pub Vec<AclItem>);

impl Acl {
    /// What an object of this kind starts with.
    pub fn default_of(kind: ObjectKind, owner: Oid) -> Acl {
        let mut items = Vec::new();
        if !kind.public().is_empty() {
            let (privileges, grantable) = (kind.public(), Privileges::NONE);
            items.push(AclItem { grantee: PUBLIC, grantor: owner, privileges, grantable });
        }
        if kind != ObjectKind::Column {
            items.push(AclItem { grantee: owner, grantor: owner, privileges: kind.all(), grantable: Privileges::NONE });
        }
        Acl(items)
    }

    /// The privileges granted to any grantee `applies` to.
    pub fn privileges(&self, applies: impl Fn(Oid) -> bool) -> Privileges {
        self.0.iter().filter(|item| applies(item.grantee)).fold(Privileges::NONE, |all, item| all | item.privileges)
    }

    /// The privileges any grantee `applies` to may grant on. (The owner may grant all, whatever stands here.)
    pub fn grantable(&self, applies: impl Fn(Oid) -> bool) -> Privileges {
        self.0.iter().filter(|item| applies(item.grantee)).fold(Privileges::NONE, |all, item| all | item.grantable)
    }

    pub fn grant(&mut self, grantee: Oid, grantor: Oid, privileges: Privileges, with_option: bool) {
        let at = self.0.iter().position(|item| (item.grantee, item.grantor) == (grantee, grantor));
        let grantable = if with_option { privileges } else { Privileges::NONE };
        match at.and_then(|at| self.0.get_mut(at)) {
            Some(item) => {
                item.privileges = item.privileges | privileges;
                item.grantable = item.grantable | grantable;
            }
            None => self.0.push(AclItem { grantee, grantor, privileges, grantable }),
        }
        self.0.retain(|item| !item.privileges.is_empty());
    }

    /// Takes back what `grantor` granted. What the grantee granted on goes too with `cascade`, and is 2BP01 without.
    pub fn revoke(
        &mut self,
        grantee: Oid,
        grantor: Oid,
        privileges: Privileges,
        option_only: bool,
        cascade: bool,
        owner: Oid,
    ) -> Result<()> {
        let at = self.0.iter().position(|item| (item.grantee, item.grantor) == (grantee, grantor));
        let Some(item) = at.and_then(|at| self.0.get_mut(at)) else { return Ok(()) };
        let lost = item.grantable & privileges;
        item.grantable = item.grantable & !privileges;
        if !option_only {
            item.privileges = item.privileges & !privileges;
        }
        self.0.retain(|item| !item.privileges.is_empty());
        // The grantee may still have the option from somebody else, or as the owner.
        let still = self.grantable(|other| other == grantee);
        let gone = lost & !still;
        if gone.is_empty() || grantee == owner {
            return Ok(());
        }
        let dependent: Vec<Oid> = self
            .0
            .iter()
            .filter(|item| item.grantor == grantee && !(item.privileges & gone).is_empty())
            .map(|item| item.grantee)
            .collect();
        if !dependent.is_empty() && !cascade {
            return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, "dependent privileges exist")
                .with_hint("Use CASCADE to revoke them too."));
        }
        for other in dependent {
            self.revoke(other, grantee, gone, false, true, owner)?;
        }
        Ok(())
    }

    /// The owner changed: what was the old one's is the new one's.
    pub fn change_owner(&mut self, old: Oid, new: Oid) {
        let items = std::mem::take(&mut self.0);
        let renamed = |oid: Oid| if oid == old { new } else { oid };
        for item in items {
            let (grantee, grantor) = (renamed(item.grantee), renamed(item.grantor));
            self.grant(grantee, grantor, item.privileges & !item.grantable, false);
            self.grant(grantee, grantor, item.grantable, true);
        }
    }

    /// Forgets a role: as grantee, and what it granted.
    pub fn forget(&mut self, role: Oid) {
        self.0.retain(|item| item.grantee != role && item.grantor != role);
    }

    pub fn mentions(&self, role: Oid) -> bool {
        self.0.iter().any(|item| item.grantee == role || item.grantor == role)
    }

    /// Each item as `grantee=privileges/grantor`.
    pub fn texts(&self, role_name: impl Fn(Oid) -> String) -> Vec<String> {
        let quoted = |oid: Oid| {
            let name = role_name(oid);
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if plain { name } else { format!("\"{}\"", name.replace('"', "\"\"")) }
        };
        self.0
            .iter()
            .map(|item| {
                let mut text = if item.grantee == PUBLIC { String::new() } else { quoted(item.grantee) };
                text.push('=');
                for (bit, letter, _) in Privileges::NAMED {
                    if item.privileges.contains(*bit) {
                        let option = if item.grantable.contains(*bit) { "*" } else { "" };
                        let _ = write!(text, "{letter}{option}");
                    }
                }
                text + "/" + &quoted(item.grantor)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Oid = Oid(10);
    const BOB: Oid = Oid(20);
    const EVE: Oid = Oid(30);

    fn shown(acl: &Acl) -> String {
        acl.texts(|oid| ["owner", "bob", "eve"][(oid.0 / 10 - 1) as usize].to_owned()).join(",")
    }

    #[test]
    fn grants_add_up_and_print_as_postgres_prints_them() {
        let mut acl = Acl::default_of(ObjectKind::Table, OWNER);
        acl.grant(BOB, OWNER, Privileges::SELECT, false);
        acl.grant(BOB, OWNER, Privileges::INSERT, true);
        acl.grant(PUBLIC, OWNER, Privileges::SELECT, false);
        assert_eq!(shown(&acl), "owner=arwdDxt/owner,bob=a*r/owner,=r/owner");
        acl.change_owner(OWNER, EVE);
        assert_eq!(shown(&acl), "eve=arwdDxt/eve,bob=a*r/eve,=r/eve");
        acl.forget(BOB);
        assert_eq!(shown(&acl), "eve=arwdDxt/eve,=r/eve");
    }

    #[test]
    fn what_was_granted_on_goes_with_the_option() {
        let mut acl = Acl::default_of(ObjectKind::Table, OWNER);
        acl.grant(BOB, OWNER, Privileges::SELECT, true);
        acl.grant(EVE, BOB, Privileges::SELECT, false);
        let refused = acl.clone().revoke(BOB, OWNER, Privileges::SELECT, false, false, OWNER).unwrap_err();
        assert_eq!(refused.state(), SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
        acl.revoke(BOB, OWNER, Privileges::SELECT, true, true, OWNER).unwrap();
        assert_eq!(shown(&acl), "owner=arwdDxt/owner,bob=r/owner");
    }
}
