//! Which roles a role acts for.
//!
//! Three questions, as PostgreSQL asks them: *has the privileges of* (through roles that inherit), *is a member of* (so that
//! SET ROLE is allowed), *is an admin of* (so that it may grant the membership on). A superuser has, is and may all.

use std::collections::BTreeSet;

use heliosdb_types::Oid;

use super::model::{CatalogSnapshot, Database, Membership, Role};
use super::system::DATABASE_OWNER_ROLE;
use std::sync::Arc;

impl CatalogSnapshot {
    /// The database whose definitions these are.
    pub fn own_database(&self) -> Option<&Arc<Database>> {
        self.databases.values().find(|database| database.id == self.database)
    }

    pub fn is_superuser(&self, role: Oid) -> bool {
        self.roles.get(&role).is_some_and(|role| role.superuser)
    }

    /// Memberships as kept, and the one that follows from owning the database.
    fn memberships<'a>(&'a self, role: &'a Role) -> impl Iterator<Item = Membership> + 'a {
        let owner = self.own_database().filter(|database| database.owner == role.oid);
        let implied = owner.map(|_| Membership { role: DATABASE_OWNER_ROLE, grantor: role.oid, admin: false });
        role.facts.member_of.iter().cloned().chain(implied)
    }

    /// The role itself and all it is a member of; with `inherited`, only as far as privileges are inherited.
    pub fn roles_of(&self, role: Oid, inherited: bool) -> BTreeSet<Oid> {
        let mut found = BTreeSet::from([role]);
        let mut open = vec![role];
        while let Some(member) = open.pop() {
            let Some(member) = self.roles.get(&member) else { continue };
            if inherited && member.facts.no_inherit {
                continue;
            }
            for membership in self.memberships(member) {
                if found.insert(membership.role) {
                    open.push(membership.role);
                }
            }
        }
        found
    }

    pub fn has_privileges_of(&self, member: Oid, role: Oid) -> bool {
        member == role || self.is_superuser(member) || self.roles_of(member, true).contains(&role)
    }

    pub fn is_member_of(&self, member: Oid, role: Oid) -> bool {
        member == role || self.is_superuser(member) || self.roles_of(member, false).contains(&role)
    }

    pub fn is_admin_of(&self, member: Oid, role: Oid) -> bool {
        if self.is_superuser(member) {
            return true;
        }
        let acting = self.roles_of(member, false);
        let admin = |acting: &Oid| {
            let acting = self.roles.get(acting);
            acting.is_some_and(|acting| acting.facts.member_of.iter().any(|m| m.role == role && m.admin))
        };
        acting.iter().any(admin)
    }

    /// Direct members of a role.
    pub fn members(&self, role: Oid) -> impl Iterator<Item = (&Arc<Role>, &Membership)> {
        self.roles.values().filter_map(move |member| {
            Some((member, member.facts.member_of.iter().find(|membership| membership.role == role)?))
        })
    }

    pub fn role_name(&self, role: Oid) -> String {
        self.roles.get(&role).map_or_else(|| role.to_string(), |role| role.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::RoleFacts;

    fn catalog() -> CatalogSnapshot {
        let mut catalog = CatalogSnapshot::default();
        // 1 is a member of 2 (admin), 2 does not inherit from 3.
        for (oid, groups, no_inherit) in [(1, &[2u32][..], false), (2, &[3], true), (3, &[], false), (4, &[], false)] {
            let member = |role: &u32| Membership { role: Oid(*role), grantor: Oid(9), admin: oid == 1 };
            let member_of = groups.iter().map(member).collect();
            let facts = RoleFacts { no_inherit, member_of, ..RoleFacts::default() };
            let (oid, name) = (Oid(oid), format!("r{oid}"));
            let role = Role { oid, name, superuser: oid.0 == 4, can_login: true, password: None, facts };
            catalog.roles.insert(oid, Arc::new(role));
        }
        catalog
    }

    #[test]
    fn privileges_follow_inheritance_and_membership_does_not_need_it() {
        let catalog = catalog();
        assert!(catalog.has_privileges_of(Oid(1), Oid(2)) && !catalog.has_privileges_of(Oid(1), Oid(3)));
        assert!(catalog.is_member_of(Oid(1), Oid(3)) && !catalog.is_member_of(Oid(3), Oid(1)));
        assert!(catalog.is_admin_of(Oid(1), Oid(2)) && !catalog.is_admin_of(Oid(1), Oid(3)));
        assert!(catalog.has_privileges_of(Oid(4), Oid(1)) && catalog.is_admin_of(Oid(4), Oid(3)));
    }
}
