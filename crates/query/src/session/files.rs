//! Files that statements name: who may read them, and the look at them before a statement is bound.

use std::sync::Arc;

use heliosdb_types::{Error, Result};

use super::{Running, Session};
use crate::files::FileRights;

impl Session {
    /// What the user may read.
    pub(crate) fn file_rights(&mut self) -> Result<FileRights> {
        let catalog = self.catalog()?;
        let role = catalog.role_named("pg_read_server_files").map(|role| role.oid);
        let all = self.user.superuser || role.is_some_and(|role| catalog.has_privileges_of(self.user.oid, role));
        Ok(FileRights { all, directories: FileRights::directories(self.settings.get("file_directories")) })
    }

    /// What to do about an error of binding: if it says that files have to be looked at first, that is done, and binding may be tried again;
    /// any other is returned.
    pub(crate) async fn look_for(&mut self, error: Error, running: &Running) -> Result<()> {
        let Some(request) = self.files.wanted(&error) else {
            self.files.clear();
            return Err(error);
        };
        let rights = self.file_rights()?;
        let (flag, wanted) = (running.flag.clone(), request.clone());
        // Reading blocks, so it is not done by the thread that serves the session.
        let look = self.engine.executor.spawner.blocking(move || wanted.look(rights, &|| flag.check()));
        let found = tokio::select! {
            biased;
            () = running.flag.cancelled() => Err(running.flag.error()),
            found = look => found.and_then(|found| found),
        };
        match found {
            Ok(table) => {
                self.files.put(request, Arc::new(table));
                Ok(())
            }
            Err(error) => {
                self.files.clear();
                Err(error)
            }
        }
    }
}
