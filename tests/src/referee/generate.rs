//! Small random deployments that Istio's validation admits, and requests that nearly match their rules.
//! Everything follows from the seed.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::case::{Ask, Case};

const GATEWAY: &str = "edge";
/// The namespace of the Services `a` and `b`, and of most objects.
const SHOP: &str = "shop";
/// The namespace of the Service `c` and of a client.
const OTHER: &str = "other";
const INGRESS: &str = "ingress";

const PATHS: [&str; 24] = [
    "/",
    "/a",
    "/api",
    "/apix",
    "/api/",
    "/api/v1",
    "/api/v1/x",
    "/API",
    "/Api/V1",
    "/api?x=1",
    "/api/v1?x=2&y",
    "/?x=1",
    "/api/index.html",
    "//api",
    "/api//v1",
    "/a/../api",
    "/a/./b",
    "/%61pi",
    "/api%2Fv1",
    "/api;x=1",
    "/xx",
    "/a|b",
    "/api?x=1&x=2",
    "/a?flag=on",
];
const EXACT_URIS: [&str; 8] = ["/", "/a", "/api", "/api/", "/API", "/api/v1", "/a/b", "/%61pi"];
const PREFIX_URIS: [&str; 9] = ["/", "", "/a", "/api", "/api/", "/API", "/api/v1", "/ap", "/xx"];
const REGEX_URIS: [&str; 12] = [
    ".*",
    "/.*",
    "/api/v[12]",
    "/api/v[12]/.*",
    "/a|/api",
    "^/api$",
    "(?i)/api.*",
    "/x{2,3}",
    r"/.*\.html",
    "/[^/]+",
    "/ap",
    r"/\w+/?",
];
const VALUES: [&str; 8] = ["on", "one", "v2", "On", "a,b", "canary", "1", "x y"];
const VALUE_REGEXES: [&str; 10] =
    ["on", "o.*", ".*", "(?i)ON", "^on$", "on|v2", "[a-z]+", r"v\d", "[^,]*", ".*n.*"];
const COOKIES: [&str; 10] = [
    "featureflag=on",
    "a=b; featureflag=on",
    "featureflag=on; a=b",
    "a=b;featureflag=on",
    "xfeatureflag=on",
    "featureflag=once",
    "featureflag=off",
    "a=b",
    "a=b; featureflag=on; c=d",
    "featureflag=\"on\"",
];
const COOKIE_REGEXES: [&str; 7] = [
    r"^(.*?;\s*)?(featureflag=on)(;.*)?$",
    r"^(.*?;)?(featureflag=on)(;.*)?$",
    "^(.*?; *)?(featureflag=on)(;.*)?$",
    "featureflag=on",
    ".*featureflag=on.*",
    "^.*featureflag=on",
    r"(^|.*;\s*)featureflag=(on|once)(\s*;.*|$)",
];
const HOSTS: [&str; 8] = [
    "shop.example.com",
    "shop.example.com:80",
    "SHOP.Example.com",
    "x.shop.example.com",
    "other.test",
    "example.com",
    "shop.example.com:8080",
    "a.shop.svc.cluster.local",
];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// One Service of a case.
struct Service {
    name: &'static str,
    namespace: &'static str,
    /// Port numbers, and whether http rules route them.
    ports: Vec<(u32, &'static str)>,
}

impl Service {
    fn host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name, self.namespace)
    }
}

struct Generator {
    rng: Rng,
    objects: Vec<Value>,
    services: Vec<Service>,
    /// `namespace/name`, port and whether it is TCP, of each server of the gateway.
    servers: Vec<(String, u32, bool)>,
    /// `namespace/name` of workloads that call.
    clients: Vec<&'static str>,
}

/// The case of a seed.
pub fn case(seed: u64) -> Case {
    let mut generator = Generator {
        rng: Rng::with_seed(seed),
        objects: Vec::new(),
        services: Vec::new(),
        servers: Vec::new(),
        clients: vec!["shop/client-v1", "shop/client-v2", "other/client-v1"],
    };
    generator.namespaces();
    generator.services();
    generator.clients();
    generator.gateway();
    for index in 0..generator.rng.usize(1..=3) {
        generator.virtual_service(index);
    }
    for index in 0..generator.rng.usize(0..=3) {
        generator.destination_rule(index);
    }
    generator.policies();
    generator.mesh_config();
    let asks = (0..8).map(|_| generator.ask()).collect();
    Case { objects: generator.objects, asks }
}

fn object(api: &str, kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": api, "kind": kind, "metadata": { "name": name, "namespace": namespace }, "spec": spec })
}

impl Generator {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    fn pick<'t, T: ?Sized>(&mut self, list: &[&'t T]) -> &'t T {
        list[self.rng.usize(0..list.len())]
    }

    fn number(&mut self, list: &[u64]) -> u64 {
        list[self.rng.usize(0..list.len())]
    }

    fn namespaces(&mut self) {
        for name in [SHOP, OTHER, INGRESS] {
            let injection = if name == OTHER && self.chance(15) { "disabled" } else { "enabled" };
            self.objects.push(json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": { "name": name, "labels": { "istio-injection": injection } },
            }));
        }
    }

    /// Now and then only what the registry has may be called.
    fn mesh_config(&mut self) {
        if self.chance(6) {
            self.objects.push(json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": { "name": "istio", "namespace": "istio-system" },
                "data": { "mesh": "outboundTrafficPolicy:\n  mode: REGISTRY_ONLY\n" },
            }));
        }
    }

    fn services(&mut self) {
        for (name, namespace, percent) in [("a", SHOP, 100), ("b", SHOP, 60), ("c", OTHER, 40)] {
            if !self.chance(percent) {
                continue;
            }
            let count = self.rng.usize(1..=3);
            let versions: Vec<&str> = ["v1", "v2", "v3"].into_iter().take(count).collect();
            let all = [(80, "http"), (8080, "http-alt"), (9000, "tcp"), (8081, "web"), (9001, "redis")];
            let mut ports: Vec<(u32, &'static str)> = vec![all[self.rng.usize(0..2)]];
            for port in all {
                if !ports.contains(&port) && self.chance(22) {
                    ports.push(port);
                }
            }
            let declared: Vec<Value> = ports
                .iter()
                .map(|(number, name)| {
                    let target = match number {
                        80 => json!("main"),
                        number => json!(number),
                    };
                    json!({ "name": name, "port": number, "targetPort": target })
                })
                .collect();
            let spec = json!({ "selector": { "app": name }, "ports": declared });
            self.objects.push(object("v1", "Service", namespace, name, spec));
            for version in &versions {
                let bare = self.chance(8);
                let labels = json!({ "app": name, "version": version });
                let skipped = self.chance(6).then(|| self.rng.usize(0..ports.len()));
                let container: Vec<Value> = ports
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| Some(*place) != skipped || ports.len() == 1)
                    .map(|(_, (number, name))| match number {
                        80 => json!({ "name": "main", "containerPort": 8000 }),
                        number => json!({ "name": name, "containerPort": number }),
                    })
                    .collect();
                self.deployment(namespace, &format!("{name}-{version}"), labels, container, bare);
            }
            self.services.push(Service { name, namespace, ports });
        }
    }

    fn deployment(&mut self, namespace: &str, name: &str, labels: Value, ports: Vec<Value>, bare: bool) {
        let mut pod_labels = labels.clone();
        if bare {
            pod_labels["sidecar.istio.io/inject"] = json!("false");
        }
        let spec = json!({
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": pod_labels },
                "spec": { "containers": [{ "name": "app", "image": "app:1", "ports": ports }] },
            },
        });
        let mut spec = spec;
        if self.chance(3) {
            spec["replicas"] = json!(0);
        }
        self.objects.push(object("apps/v1", "Deployment", namespace, name, spec));
    }

    fn clients(&mut self) {
        for client in self.clients.clone() {
            let (namespace, name) = client.split_once('/').unwrap_or_default();
            let version = name.rsplit('-').next().unwrap_or_default();
            let bare = self.chance(8);
            let labels = json!({ "app": "client", "version": version });
            self.deployment(namespace, name, labels, Vec::new(), bare);
        }
    }

    fn gateway(&mut self) {
        if self.chance(20) {
            return;
        }
        let namespace = if self.chance(60) { SHOP } else { INGRESS };
        let name = format!("{namespace}/{GATEWAY}");
        let mut servers = Vec::new();
        for (number, protocol, percent) in [(80, "HTTP", 100), (8080, "HTTP", 30), (9000, "TCP", 20)] {
            if !self.chance(percent) {
                continue;
            }
            let hosts: &[&str] = if protocol == "TCP" {
                &["*"]
            } else {
                let lists: [&[&str]; 8] = [
                    &["*"],
                    &["*"],
                    &["shop.example.com"],
                    &["*.example.com", "shop.example.com"],
                    &["shop/*"],
                    &["./*"],
                    &["*/shop.example.com", "other.test"],
                    &["*.shop.example.com", "*.test"],
                ];
                lists[self.rng.usize(0..lists.len())]
            };
            let mut server = json!({
                "port": { "number": number, "name": format!("port-{number}"), "protocol": protocol },
                "hosts": hosts,
            });
            if number == 8080 && self.chance(10) {
                server["tls"] = json!({ "httpsRedirect": true });
            }
            servers.push(server);
            self.servers.push((name.clone(), number, protocol == "TCP"));
        }
        let spec = json!({ "selector": { "istio": "ingress" }, "servers": servers });
        self.objects.push(object("networking.istio.io/v1", "Gateway", namespace, GATEWAY, spec));
        if self.chance(70) {
            let labels = json!({ "istio": "ingress", "sidecar.istio.io/inject": "true" });
            self.objects.push(object(
                "apps/v1",
                "Deployment",
                INGRESS,
                "ingress",
                json!({
                    "selector": { "matchLabels": { "istio": "ingress" } },
                    "template": {
                        "metadata": {
                            "labels": labels,
                            "annotations": { "inject.istio.io/templates": "gateway" },
                        },
                        "spec": { "containers": [{ "name": "istio-proxy", "image": "auto" }] },
                    },
                }),
            ));
        }
    }

    fn service_host(&mut self, from: &str) -> String {
        let index = self.rng.usize(0..self.services.len());
        let service = &self.services[index];
        let (name, namespace, full) = (service.name, service.namespace, service.host());
        match self.rng.u32(0..10) {
            0..4 if namespace == from => name.to_owned(),
            4 => format!("{name}.{namespace}"),
            _ => full,
        }
    }

    fn virtual_service(&mut self, index: usize) {
        let namespace = if self.chance(80) { SHOP } else { OTHER };
        let has_gateway = !self.servers.is_empty();
        let (at_gateway, in_mesh) = match self.rng.u32(0..10) {
            0..5 if has_gateway => (true, false),
            5 if has_gateway => (true, true),
            _ => (false, true),
        };
        let mut hosts: Vec<String> = Vec::new();
        if at_gateway {
            let lists: [&[&str]; 7] = [
                &["*"],
                &["shop.example.com"],
                &["*.example.com"],
                &["shop.example.com", "other.test"],
                &["Shop.example.com"],
                &["*.shop.example.com"],
                &["example.com"],
            ];
            let list = lists[self.rng.usize(0..lists.len())];
            hosts.extend(list.iter().filter(|host| !in_mesh || **host != "*").map(|host| (*host).to_owned()));
        }
        if in_mesh {
            let full = self.service_host(namespace);
            let host = match self.rng.u32(0..12) {
                0 => format!("*.{SHOP}.svc.cluster.local"),
                1 => "*.cluster.local".to_owned(),
                2 => "shop.example.com".to_owned(),
                _ => full,
            };
            hosts.push(host);
            if self.chance(12) {
                hosts.push(self.service_host(namespace));
            }
        }
        hosts.dedup();
        let mut seen = Vec::new();
        hosts.retain(|host| {
            let full = if host.contains('.') || host == "*" {
                host.clone()
            } else {
                format!("{host}.{namespace}.svc.cluster.local")
            };
            let fresh = !seen.contains(&full);
            seen.push(full);
            fresh
        });
        let mut spec = json!({ "hosts": hosts });
        let mut gateways: Vec<String> = Vec::new();
        if at_gateway {
            let (own, name) = self.servers[0]
                .0
                .split_once('/')
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .unwrap_or_default();
            gateways.push(match own == namespace && self.chance(50) {
                true => name,
                false => format!("{own}/{name}"),
            });
            if in_mesh {
                gateways.push("mesh".to_owned());
            }
        }
        if !gateways.is_empty() {
            spec["gateways"] = json!(gateways);
        }
        if self.chance(8) {
            spec["exportTo"] = match self.rng.u32(0..3) {
                0 => json!(["."]),
                1 => json!([SHOP, INGRESS]),
                _ => json!(["*"]),
            };
        }
        let mut http = Vec::new();
        for _ in 0..self.rng.usize(1..=4) {
            let rule = self.http_rule(namespace, &gateways);
            http.push(rule);
        }
        spec["http"] = json!(http);
        if self.chance(40) {
            let mut tcp = Vec::new();
            for _ in 0..self.rng.usize(1..=2) {
                let rule = self.tcp_rule(namespace, &gateways);
                tcp.push(rule);
            }
            spec["tcp"] = json!(tcp);
        }
        let name = format!("routes-{index}");
        self.objects.push(object("networking.istio.io/v1", "VirtualService", namespace, &name, spec));
    }

    fn http_rule(&mut self, namespace: &str, gateways: &[String]) -> Value {
        let mut rule = json!({});
        let blocks: Vec<Value> = match self.rng.u32(0..10) {
            0 | 1 => Vec::new(),
            2..8 => vec![self.block(gateways)],
            _ => vec![self.block(gateways), self.block(gateways)],
        };
        let prefixes_only =
            blocks.iter().all(|block| block.get("uri").is_none_or(|uri| uri.get("prefix").is_some()));
        if !blocks.is_empty() {
            rule["match"] = json!(blocks);
        }
        match self.rng.u32(0..20) {
            0 => rule["redirect"] = self.redirect(prefixes_only),
            1 => {
                let status = self.number(&[200, 404, 418, 503]);
                rule["directResponse"] =
                    json!({ "status": status, "body": { "string": "as the rule says" } });
            }
            _ => {
                rule["route"] = self.destinations(namespace, true);
                if self.chance(18) {
                    rule["rewrite"] = self.rewrite();
                }
                if self.chance(8) {
                    let mut abort = json!({ "httpStatus": self.number(&[400, 503, 555]) });
                    match self.rng.u32(0..4) {
                        0 => {}
                        1 => abort["percentage"] = json!({ "value": 50 }),
                        2 => abort["percentage"] = json!({ "value": 0 }),
                        _ => abort["percentage"] = json!({ "value": 100 }),
                    }
                    rule["fault"] = json!({ "abort": abort });
                }
                if self.chance(15) {
                    let allow_host = rule["rewrite"].get("authority").is_none();
                    rule["headers"] = self.operations(allow_host);
                }
            }
        }
        rule
    }

    fn redirect(&mut self, prefixes_only: bool) -> Value {
        let mut redirect = json!({});
        match self.rng.u32(0..3) {
            0 => redirect["uri"] = json!(self.pick(&["/new", "/new?a=b", "/"])),
            1 if prefixes_only => redirect["prefixRewrite"] = json!(self.pick(&["/new", "/", "/n/"])),
            _ => {}
        }
        if self.chance(50) {
            redirect["authority"] = json!(self.pick(&["new.example.com", "new.example.com:8443"]));
        }
        if self.chance(30) {
            redirect["scheme"] = json!(self.pick(&["http", "https"]));
        }
        match self.rng.u32(0..5) {
            0 => redirect["port"] = json!(self.number(&[80, 443, 8443])),
            1 => redirect["derivePort"] = json!(self.pick(&["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"])),
            _ => {}
        }
        if redirect.as_object().is_some_and(Map::is_empty) {
            redirect["uri"] = json!("/moved");
        }
        if self.chance(40) {
            redirect["redirectCode"] = json!(self.number(&[301, 302, 303, 307, 308]));
        }
        redirect
    }

    fn rewrite(&mut self) -> Value {
        let mut rewrite = json!({});
        match self.rng.u32(0..3) {
            0 => rewrite["uri"] = json!(self.pick(&["/", "/new", "/new/", "/n?q=1"])),
            1 => {
                let (from, to) = [
                    ("/api", "/v2"),
                    (r"^/api/(.*)$", r"/\1/x"),
                    (r"/v(\d)", r"/version-\1"),
                    ("a", "bb"),
                    (".*", "/all"),
                ][self.rng.usize(0..5)];
                rewrite["uriRegexRewrite"] = json!({ "match": from, "rewrite": to });
            }
            _ => {}
        }
        if rewrite.as_object().is_some_and(Map::is_empty) || self.chance(30) {
            rewrite["authority"] = json!(self.pick(&["rewritten.test", "rewritten.test:81"]));
        }
        rewrite
    }

    fn operations(&mut self, allow_host: bool) -> Value {
        let mut request = json!({});
        if self.chance(60) {
            let name = self.pick(&["x-set", "x-v", "X-User"]);
            request["set"] = json!({ name: self.pick(&["set", "on", "v2"]) });
        }
        if self.chance(50) {
            let name = self.pick(&["x-add", "x-v", "x-set"]);
            request["add"] = json!({ name: self.pick(&["added", "two"]) });
        }
        if self.chance(40) {
            request["remove"] = json!([self.pick(&["x-user", "x-v", "cookie", "X-V", "absent"])]);
        }
        if allow_host && self.chance(15) {
            request["set"]["host"] = json!("set.test");
        }
        if request.as_object().is_some_and(Map::is_empty) {
            request["set"] = json!({ "x-set": "alone" });
        }
        json!({ "request": request })
    }

    fn destination(&mut self, namespace: &str) -> Value {
        let mut destination = match self.chance(4) {
            true => {
                json!({ "host": self.pick(&["missing", "missing.shop.svc.cluster.local", "elsewhere.test"]) })
            }
            false => json!({ "host": self.service_host(namespace) }),
        };
        if self.chance(55) {
            destination["subset"] =
                json!(self.pick(&["v1", "v2", "v3", "v1", "v2", "v1", "v2", "nowhere", "all"]));
        }
        if self.chance(55) {
            let all: Vec<u32> =
                self.services.iter().flat_map(|service| service.ports.iter().map(|port| port.0)).collect();
            let port = if self.chance(6) { 1234 } else { all[self.rng.usize(0..all.len())] };
            destination["port"] = json!({ "number": port });
        }
        destination
    }

    fn destinations(&mut self, namespace: &str, with_headers: bool) -> Value {
        let count = match self.rng.u32(0..10) {
            0..6 => 1,
            6..9 => 2,
            _ => 3,
        };
        let mut list = Vec::new();
        for place in 0..count {
            let mut entry = json!({ "destination": self.destination(namespace) });
            if count > 1 {
                let weight = self.number(&[0, 1, 10, 30, 50, 90, 100]);
                entry["weight"] = json!(if place == 0 && weight == 0 { 50 } else { weight });
            } else if self.chance(10) {
                entry["weight"] = json!(self.number(&[0, 100]));
            }
            if with_headers && self.chance(10) {
                entry["headers"] = self.operations(self.services.len() > 1);
            }
            list.push(entry);
        }
        json!(list)
    }

    fn tcp_rule(&mut self, namespace: &str, gateways: &[String]) -> Value {
        let mut rule = json!({ "route": self.destinations(namespace, false) });
        let mut blocks = Vec::new();
        for _ in 0..self.rng.usize(0..=2) {
            let mut block = json!({});
            if self.chance(40) {
                block["port"] = json!(self.number(&[9000, 9001, 8081]));
            }
            self.source(&mut block, gateways);
            if block.as_object().is_some_and(Map::is_empty) {
                block["port"] = json!(9000);
            }
            blocks.push(block);
        }
        if !blocks.is_empty() {
            rule["match"] = json!(blocks);
        }
        rule
    }

    fn source(&mut self, block: &mut Value, gateways: &[String]) {
        if self.chance(20) {
            let labels = [
                json!({ "app": "client", "version": "v1" }),
                json!({ "version": "v2" }),
                json!({ "app": "nobody" }),
                json!({ "istio": "ingress" }),
            ];
            block["sourceLabels"] = labels[self.rng.usize(0..labels.len())].clone();
        }
        if self.chance(5) {
            block["sourceNamespace"] = json!(self.pick(&[SHOP, OTHER]));
        }
        if self.chance(10) {
            let mut names: Vec<String> = gateways.to_vec();
            if names.is_empty() {
                names.push("mesh".to_owned());
            }
            block["gateways"] = json!([names[self.rng.usize(0..names.len())]]);
        }
    }

    fn block(&mut self, gateways: &[String]) -> Value {
        let mut block = json!({});
        if self.chance(60) {
            block["uri"] = match self.rng.u32(0..10) {
                0..3 => json!({ "exact": self.pick(&EXACT_URIS) }),
                3..7 => json!({ "prefix": self.pick(&PREFIX_URIS) }),
                _ => json!({ "regex": self.pick(&REGEX_URIS) }),
            };
            if self.chance(15) {
                block["ignoreUriCase"] = json!(true);
            }
        }
        if self.chance(35) {
            let mut headers = Map::new();
            for _ in 0..self.rng.usize(1..=2) {
                let (name, test) = self.header_test();
                headers.insert(name, test);
            }
            block["headers"] = json!(headers);
        }
        if self.chance(12) {
            let (name, test) = self.header_test();
            block["withoutHeaders"] = json!({ name: test });
        }
        if self.chance(12) {
            let test = self.text_test(&["x", "1", "on", "2"], &["1", ".*", "[0-9]+"]);
            block["queryParams"] = json!({ self.pick(&["x", "flag", "y"]): test });
        }
        if self.chance(8) {
            block["method"] = match self.rng.u32(0..3) {
                0 => json!({ "regex": "GET|PUT" }),
                1 => json!({ "prefix": "P" }),
                _ => json!({ "exact": self.pick(&METHODS) }),
            };
        }
        if self.chance(6) {
            block["authority"] = match self.rng.u32(0..3) {
                0 => json!({ "exact": self.pick(&["shop.example.com", "a", "shop.example.com:80"]) }),
                1 => json!({ "prefix": self.pick(&["shop", "a."]) }),
                _ => json!({ "regex": r"(?i).*example\.com(:\d+)?" }),
            };
        }
        if self.chance(3) {
            block["scheme"] = json!({ "exact": self.pick(&["http", "https"]) });
        }
        if self.chance(6) {
            block["port"] = json!(self.number(&[80, 8080, 8081]));
        }
        self.source(&mut block, gateways);
        if block.as_object().is_some_and(Map::is_empty) {
            block["uri"] = json!({ "prefix": "/" });
        }
        block
    }

    fn header_test(&mut self) -> (String, Value) {
        match self.rng.u32(0..4) {
            0 => ("cookie".to_owned(), json!({ "regex": self.pick(&COOKIE_REGEXES) })),
            1 => (self.pick(&["x-user", "X-User"]).to_owned(), self.text_test(&VALUES, &VALUE_REGEXES)),
            _ => ("x-v".to_owned(), self.text_test(&VALUES, &VALUE_REGEXES)),
        }
    }

    fn text_test(&mut self, values: &[&str], regexes: &[&str]) -> Value {
        match self.rng.u32(0..12) {
            0..4 => json!({ "exact": self.pick(values) }),
            4 => json!({ "exact": "" }),
            5 | 6 => json!({ "prefix": &self.pick(values)[..1] }),
            7 => json!({}),
            _ => json!({ "regex": self.pick(regexes) }),
        }
    }

    fn destination_rule(&mut self, index: usize) {
        let namespace = match self.rng.u32(0..10) {
            0 => "istio-system",
            1 | 2 => OTHER,
            _ => SHOP,
        };
        let host = match self.rng.u32(0..10) {
            0 => format!("*.{SHOP}.svc.cluster.local"),
            1 => "*.local".to_owned(),
            _ => self.service_host(namespace),
        };
        let mut spec = json!({ "host": host });
        if self.chance(85) {
            let mut subsets = Vec::new();
            for name in ["v1", "v2", "v3"] {
                if self.chance(85) {
                    let mut subset = json!({ "name": name, "labels": { "version": name } });
                    if self.chance(10) {
                        subset["trafficPolicy"] = json!({ "tls": { "mode": self.tls_mode() } });
                    }
                    subsets.push(subset);
                }
            }
            if self.chance(20) {
                subsets.push(json!({ "name": "all", "labels": {} }));
            }
            if self.chance(20) {
                subsets.push(json!({ "name": "nowhere", "labels": { "version": "v9" } }));
            }
            spec["subsets"] = json!(subsets);
        }
        if self.chance(35) {
            let mut policy = json!({});
            if self.chance(70) {
                policy["tls"] = json!({ "mode": self.tls_mode() });
            }
            if self.chance(30) {
                let port = self.number(&[80, 8080, 9000]);
                let mut level = json!({ "port": { "number": port } });
                if self.chance(70) {
                    level["tls"] = json!({ "mode": self.tls_mode() });
                } else {
                    level["loadBalancer"] = json!({ "simple": "RANDOM" });
                }
                policy["portLevelSettings"] = json!([level]);
            }
            if policy.as_object().is_some_and(Map::is_empty) {
                policy["loadBalancer"] = json!({ "simple": "ROUND_ROBIN" });
            }
            spec["trafficPolicy"] = policy;
        }
        if self.chance(8) {
            spec["exportTo"] = json!([self.pick(&[".", "*"])]);
        }
        let name = format!("destination-{index}");
        self.objects.push(object("networking.istio.io/v1", "DestinationRule", namespace, &name, spec));
    }

    fn tls_mode(&mut self) -> &'static str {
        self.pick(&["ISTIO_MUTUAL", "ISTIO_MUTUAL", "ISTIO_MUTUAL", "DISABLE", "SIMPLE"])
    }

    fn policies(&mut self) {
        const MODES: [&str; 4] = ["STRICT", "PERMISSIVE", "DISABLE", "UNSET"];
        const API: &str = "security.istio.io/v1";
        for (namespace, percent) in [(SHOP, 30), (OTHER, 10), ("istio-system", 10)] {
            if self.chance(percent) {
                let spec = json!({ "mtls": { "mode": self.pick(&MODES) } });
                self.objects.push(object(API, "PeerAuthentication", namespace, "default", spec));
            }
        }
        if self.chance(15) {
            let mut spec = json!({ "selector": { "matchLabels": { "app": self.pick(&["a", "b"]) } } });
            if self.chance(70) {
                spec["mtls"] = json!({ "mode": self.pick(&MODES) });
            }
            if self.chance(50) {
                let port = ["8000", "8080", "9000"][self.rng.usize(0..3)];
                spec["portLevelMtls"] = json!({ port: { "mode": self.pick(&MODES[..3]) } });
            }
            self.objects.push(object(API, "PeerAuthentication", SHOP, "some", spec));
        }
    }

    fn ask(&mut self) -> Ask {
        let at_gateway = !self.servers.is_empty() && self.chance(55);
        let mut ask = Ask {
            from: String::new(),
            tcp: false,
            dial: String::new(),
            port: 0,
            host: String::new(),
            method: if self.chance(85) { "GET".to_owned() } else { self.pick(&METHODS).to_owned() },
            path: self.pick(&PATHS).to_owned(),
            headers: Vec::new(),
            expect: Vec::new(),
        };
        if at_gateway {
            let (gateway, port, tcp) = self.servers[self.rng.usize(0..self.servers.len())].clone();
            ask.from = format!("gateway/{gateway}");
            (ask.port, ask.tcp) = (port, tcp);
            ask.host = self.pick(&HOSTS).to_owned();
        } else {
            let client = self.clients[self.rng.usize(0..self.clients.len())];
            ask.from = format!("deployment/{client}");
            let index = self.rng.usize(0..self.services.len());
            let service = &self.services[index];
            let (name, namespace, full) = (service.name, service.namespace, service.host());
            let place = self.rng.usize(0..service.ports.len());
            let (port, protocol) = service.ports[place];
            ask.port = port;
            ask.tcp = match protocol {
                "http" | "http-alt" => false,
                "web" => self.rng.bool(),
                _ => true,
            };
            ask.host = match self.rng.u32(0..12) {
                0..3 if client.starts_with(namespace) => name.to_owned(),
                3 | 4 => format!("{name}.{namespace}"),
                5 => format!("{full}:{port}"),
                6 => format!("{name}.{namespace}.svc"),
                7 => "shop.example.com".to_owned(),
                8 => full.to_ascii_uppercase(),
                _ => full.clone(),
            };
            ask.dial = full;
        }
        if ask.tcp {
            (ask.host, ask.method, ask.path) = (String::new(), String::new(), String::new());
            return ask;
        }
        for (name, percent) in [("x-v", 55), ("x-user", 25)] {
            if self.chance(percent) {
                ask.headers
                    .push((name.to_owned(), if self.chance(6) { "" } else { self.pick(&VALUES) }.to_owned()));
                if self.chance(8) {
                    ask.headers.push((name.to_owned(), self.pick(&VALUES).to_owned()));
                }
            }
        }
        if self.chance(40) {
            ask.headers.push(("cookie".to_owned(), self.pick(&COOKIES).to_owned()));
            if self.chance(6) {
                ask.headers.push(("cookie".to_owned(), self.pick(&COOKIES).to_owned()));
            }
        }
        ask
    }
}
