//! Certificates for tests, made by openssl: an authority, and what it signs.

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Authority {
    dir: tempfile::TempDir,
}

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl").current_dir(dir).args(args).output().expect("openssl is installed");
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

impl Authority {
    pub fn new() -> Authority {
        let dir = tempfile::tempdir().unwrap();
        let mut args =
            vec!["req", "-x509", "-days", "30", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"];
        args.extend(KEY);
        openssl(dir.path(), &args);
        Authority { dir }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub fn show(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    /// Makes `name.crt` and `name.key`, good for localhost. An existing pair is replaced.
    pub fn sign(&self, name: &str) {
        let (key, csr, crt) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        let subject = format!("/CN={name}");
        let mut args = vec!["req", "-subj", &subject, "-keyout", &key, "-out", &csr];
        args.extend(KEY);
        openssl(self.dir.path(), &args);
        std::fs::write(self.path("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        let args = ["x509", "-req", "-in", &csr, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(self.dir.path(), &[&args[..], &["-out", &crt, "-days", "30", "-extfile", "ext"]].concat());
    }
}
