//! Which virtual host of a sidecar's route table an authority meets on a port (`core/httproute.go`,
//! `core/route/route.go#separateVSHostsAndServices`). Knows names and who comes first, not what rules do.

use crate::mesh::Mesh;
use crate::mesh::host::{is_wildcard, matches, more_specific, split_cluster_name};
use crate::mesh::reach::route_kinds;
use crate::mesh::registry::Host;
use crate::mesh::routes::{RouteKind, VirtualService};
use crate::mesh::workloads::Workload;
use crate::route::rules::{self, Builder, Built};

/// A client's sidecar and one of its HTTP ports.
pub(super) struct Table<'m, 'a> {
    pub(super) mesh: &'m Mesh<'a>,
    pub(super) client: &'m Workload<'a>,
    pub(super) port: u32,
}

/// What an authority meets.
#[derive(Default)]
pub(super) struct Found<'m, 'a> {
    /// `None`: no virtual host has the name.
    pub(super) serves: Option<Serves<'m, 'a>>,
    /// A VirtualService that has the host and no rule for this client and port.
    pub(super) vanished: Option<&'m VirtualService<'a>>,
}

/// What a virtual host is made of.
pub(super) enum Serves<'m, 'a> {
    /// The rules of a VirtualService.
    Rules {
        /// The name that covers the authority.
        domain: String,
        service: &'m VirtualService<'a>,
        routes: Vec<Built<'m, 'a>>,
    },
    /// A host without rules.
    Host(&'m Host<'a>),
}

impl<'m, 'a> Table<'m, 'a> {
    fn namespace(&self) -> &'m str {
        self.client.namespace()
    }

    /// The virtual host with the most specific domain; of two with one domain the first: those of VirtualServices
    /// in order, then hosts without rules.
    pub(super) fn virtual_host(&self, name: &str, builder: Builder<'_>) -> Found<'m, 'a> {
        let mut found = Found::default();
        let mut best: Option<String> = None;
        let mut offer = |domain: &str, serves: &dyn Fn() -> Serves<'m, 'a>| {
            let covers = domain == name || (is_wildcard(domain) && matches(domain, name));
            if covers && best.as_ref().is_none_or(|best| more_specific(domain, best)) {
                best = Some(domain.to_owned());
                found.serves = Some(serves());
            }
        };
        let called = self.called(name);
        let services = self.mesh.routes.seen_by(self.namespace());
        let mut vanished = None;
        let mut taken: Vec<&str> = Vec::new();
        for service in services.iter().copied() {
            let has = |host: &Host<'a>| self.has_service(service, host, &services);
            let (own, others): (Vec<&Host<'a>>, Vec<&str>) = (
                called.iter().copied().filter(|host| has(host)).collect(),
                service
                    .hosts
                    .iter()
                    .map(|own| own.value.as_str())
                    .filter(|own| self.is_foreign(own))
                    .collect(),
            );
            if own.is_empty() && !others.iter().any(|other| matches(other, name)) {
                continue;
            }
            let routes = rules::table(self.mesh, service, builder);
            if routes.is_empty() {
                vanished = vanished.or((!own.is_empty()).then_some(service));
                continue;
            }
            let serve =
                |domain: &str| Serves::Rules { domain: domain.to_owned(), service, routes: routes.clone() };
            // Hosts that no registry has are only there beside one that has the port, or on port 80.
            if self.port == 80 || !own.is_empty() || self.on_port().any(has) {
                for domain in others {
                    offer(domain, &|| serve(domain));
                }
            }
            for host in own {
                if !taken.contains(&host.name.as_str()) {
                    taken.push(&host.name);
                    self.domains(host).iter().for_each(|domain| offer(domain, &|| serve(domain)));
                }
            }
        }
        for host in called.iter().copied().filter(|host| !taken.contains(&host.name.as_str())) {
            self.domains(host).iter().for_each(|domain| offer(domain, &|| Serves::Host(host)));
        }
        if matches!(found.serves, Some(Serves::Host(_))) {
            found.vanished = vanished;
        }
        found
    }

    /// Hosts of the registry with this port for HTTP that the client sees.
    fn on_port(&self) -> impl Iterator<Item = &'m Host<'a>> + '_ {
        self.mesh.registry.iter().filter(|host| self.is_here(host))
    }

    fn is_here(&self, host: &Host<'a>) -> bool {
        let is_http = host.port(self.port).is_some_and(|port| route_kinds(port).contains(&RouteKind::Http));
        is_http && self.is_seen(host)
    }

    /// Whether the client sees the host under its name.
    fn is_seen(&self, host: &Host<'a>) -> bool {
        let found = self.mesh.registry.find(&host.name, Some(self.namespace()));
        found.is_some_and(|found| std::ptr::eq(found, host))
    }

    /// The hosts that a name may mean on this port.
    fn called(&self, name: &str) -> Vec<&'m Host<'a>> {
        let (namespace, domain) = (self.namespace(), &self.mesh.config.domain);
        let bare = name.strip_suffix('.').unwrap_or(name);
        let names = [
            bare.to_owned(),
            format!("{bare}.{namespace}.svc.{domain}"),
            format!("{bare}.svc.{domain}"),
            format!("{bare}.{domain}"),
        ];
        let exact = names.iter().flat_map(|name| self.mesh.registry.named(name));
        let exact = exact.chain(self.mesh.registry.at(bare, Some(namespace)));
        // The pods of a headless Service have names below its own.
        let above = names.iter().filter_map(|name| name.split_once('.')).map(|(_, rest)| rest);
        let headless =
            above.flat_map(|rest| self.mesh.registry.named(rest)).filter(|host| host.is_headless());
        let exact = exact.chain(headless);
        let wildcards = self.mesh.registry.iter().filter(|host| is_wildcard(&host.name));
        exact
            .chain(wildcards.filter(|host| matches(&host.name, name)))
            .filter(|host| self.is_here(host))
            .collect()
    }

    /// A host that no registry entry with this port has or is covered by.
    fn is_foreign(&self, own: &str) -> bool {
        let is_on_port = |host: &Host<'a>| host.port(self.port).is_some() && self.is_seen(host);
        match is_wildcard(own) {
            true => !self.mesh.registry.iter().any(|host| matches(own, &host.name) && is_on_port(host)),
            false => !self.mesh.registry.named(own).any(is_on_port),
        }
    }

    /// Whether a VirtualService is for a host: it names it, or has the best wildcard of all.
    fn has_service(
        &self,
        service: &VirtualService<'a>,
        host: &Host<'a>,
        all: &[&'m VirtualService<'a>],
    ) -> bool {
        if service.hosts.iter().any(|own| own.value == host.name) {
            return true;
        }
        if !service.hosts.iter().any(|own| is_wildcard(own) && matches(own, &host.name)) {
            return false;
        }
        let named = all.iter().flat_map(|service| service.hosts.iter().map(move |own| (*service, own)));
        let best = named
            .filter(|(_, own)| matches(own, &host.name))
            .reduce(|best, next| if more_specific(next.1, best.1) { next } else { best });
        best.is_some_and(|(best, _)| std::ptr::eq(best, service))
    }

    /// `generateVirtualHostDomains`
    fn domains(&self, host: &Host<'a>) -> Vec<String> {
        let mut domains = vec![host.name.clone(), format!("{}.", host.name)];
        if let Some((service, namespace)) = split_cluster_name(&host.name, &self.mesh.config.domain) {
            if namespace == self.namespace() {
                domains.push(service.to_owned());
            }
            domains.push(format!("{service}.{namespace}.svc"));
            domains.push(format!("{service}.{namespace}"));
        }
        if host.is_headless() {
            let below: Vec<String> = domains.iter().map(|domain| format!("*.{domain}")).collect();
            domains.extend(below);
        }
        domains.extend(host.addresses().into_iter().filter(|own| !own.contains('/')).map(str::to_owned));
        domains
    }
}
