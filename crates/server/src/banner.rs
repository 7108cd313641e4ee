//! What a start says on standard output: what listens where, and how to connect.

use std::net::{IpAddr, SocketAddr};

use crate::config::Config;
use crate::memory::show;
use crate::node::Node;

pub(crate) fn text(config: &Config, node: &Node) -> String {
    let report = node.recovery();
    let data = match (report.created, report.replayed_records) {
        (true, _) => "new".to_owned(),
        (false, 0) => "clean".to_owned(),
        (false, records) => format!("recovered {records} log records, {}", show(report.replayed_bytes)),
    };
    let (pg, http) = (node.pg_address(), node.http_address());
    let host = reachable(pg).ip();
    format!(
        "HeliosDB {version}\n\
         \x20 data        {dir} ({data})\n\
         \x20 postgresql  {pg}{tls}\n\
         \x20 http        http://{http} (/healthz/live, /healthz/ready, /metrics)\n\
         \x20 memory      {memory}, {threads} threads\n\
         Connect with:  psql -h {host} -p {port} -U postgres postgres\n",
        version = env!("CARGO_PKG_VERSION"),
        tls = match &config.tls {
            Some(tls) if tls.required => " (TLS required)",
            Some(_) => " (TLS)",
            None => "",
        },
        dir = config.data_dir.display(),
        memory = show(config.memory_bytes),
        threads = config.worker_threads,
        port = pg.port(),
    )
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
