//! Pods that say who they are: an echo for each container port of each workload.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use coalmine::mesh::workloads::{Workload, may_listen};

use super::name_of;
use crate::upstream::Upstream;

/// Echoes that are started when they are first asked for. Their version is `<namespace>/<name>:<port>`.
#[derive(Default)]
pub struct Pods {
    running: RefCell<HashMap<(String, u32), Upstream>>,
}

impl Pods {
    /// For [`super::Lowering::apps`]: a port is served if the pods may listen on it.
    pub fn serve(&self, workload: &Workload<'_>, port: u32) -> Option<SocketAddr> {
        if !may_listen(workload, &port.to_string()) {
            return None;
        }
        let name = name_of(workload);
        let version = format!("{name}:{port}");
        let mut running = self.running.borrow_mut();
        let echo = || Upstream::with(move |request| request.echo(&version));
        Some(running.entry((name, port)).or_insert_with(echo).address)
    }
}
