//! The proxy-wasm host adapter: reads what the core needs, calls it, writes what it says. Decides nothing.
//!
//! The SDK supplies the ABI's types, its version, the allocator the host calls and the start-up. Its dispatcher and
//! its hostcalls are not used: Envoy enters the VM once for every callback a module exports, the SDK exports all
//! of them, its traits keep every hostcall of the ABI imported, and its hostcalls panic on a status they do not
//! expect, which takes the VM, and with it a worker, down. The SDK's callbacks have taken the names, so the four
//! this filter needs, and the two for configuration, are exported here as `coalmine_on_*`; `cargo xtask dist` links
//! without the SDK's and renames these to `proxy_on_*`. A module that skipped that step fails every request, loudly.
//!
//! A request costs one hostcall that returns bytes, the header map: getting one header costs nearly as much, and
//! returns only the first of several `Cookie` lines. Nothing about the request can be read once it has been sent
//! on, so what the response needs is worked out in the request phase and kept until the response comes.

#![allow(unsafe_code)]

use crate::config::{CLIENT_IP, Config, DEFAULT_TAG, OnBadConfig, Problem, Role, Severity};
use crate::decide::{Ambient, Reason, Request, decide, host_without_port};
use crate::effects::{
    CONFIG_ERRORS, CONFIG_GENERATION, CONFIG_HASH, CONFIG_UNKNOWN, Change, Counter, FILTER_STATE, Response,
    effects, private_cache_control,
};
use crate::faults::{self, Sum};
use crate::keys;
use crate::token::Keys;
use proxy_wasm::types::{Action, BufferType, LogLevel, MapType, MetricType, Status};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

proxy_wasm::main! {{}}

/// A configuration in force, shared with the streams that began under it.
#[derive(Default)]
struct Active {
    config: Config,
    keys: Keys,
    needs_clock: bool,
    /// Metric ids by flag, variant and reason, filled on first use.
    decisions: Vec<Vec<Cell<Option<u32>>>>,
    /// The metric that every request counts in.
    requests: Option<u32>,
}

impl Active {
    fn new(config: Config, keys: Keys) -> Active {
        let cells = |flag: &crate::config::Flag| {
            let count = flag.variants.len().saturating_add(1).saturating_mul(Reason::ALL.len());
            vec![Cell::new(None); count]
        };
        let decisions = config.flags.iter().map(cells).collect();
        let requests = metric(MetricType::Counter, &Counter::Requests.metric(&config));
        Active { needs_clock: config.needs_clock(), decisions, requests, config, keys }
    }

    fn count(&self, counter: Counter) {
        let id = match counter {
            Counter::Decision(flag, variant, reason) => {
                let row = variant.map_or(0, |variant| variant.saturating_add(1));
                let place = row.saturating_mul(Reason::ALL.len()).saturating_add(reason as usize);
                let Some(cell) = self.decisions.get(flag).and_then(|cells| cells.get(place)) else { return };
                if cell.get().is_none() {
                    cell.set(metric(MetricType::Counter, &counter.metric(&self.config)));
                }
                cell.get()
            }
            Counter::Requests => self.requests,
            plain => metric(MetricType::Counter, &plain.metric(&self.config)),
        };
        if let Some(id) = id {
            abi::increment(id);
        }
    }
}

/// A map as a sorted list. Ids of contexts only grow, so inserting is nearly always pushing, and few are in flight
/// at a time; a tree for every type of value would be a twentieth of the module.
struct Table<K, V>(Vec<(K, V)>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table(Vec::new())
    }
}

impl<K: Ord, V> Table<K, V> {
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }

    fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.find(key).ok().and_then(|place| self.0.get(place)).map(|(_, value)| value)
    }

    fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Err(place) => self.0.insert(place, (key, value)),
            Ok(place) => {
                if let Some(entry) = self.0.get_mut(place) {
                    entry.1 = value;
                }
            }
        }
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.find(key).ok().map(|place| self.0.remove(place).1)
    }
}

/// What lives as long as the VM. All plugins that share the module share it, each with its own root context.
#[derive(Default)]
struct Vm {
    /// Ids of metrics by name: the host hands out a new id for every definition and never forgets one.
    metrics: Table<String, u32>,
    /// What tells this VM from all others of the process, made up when it is first needed.
    token: Option<u64>,
    /// Configurations accepted so far.
    generation: u64,
    /// Configurations by root context.
    roots: Table<u32, Rc<Active>>,
    /// The stream created last and its root context. Envoy creates a stream when its request headers arrive, so
    /// this is nearly always the one that is asked for next, and most streams need nothing else kept.
    latest: Option<(u32, u32)>,
    /// Streams that were not asked for right away.
    waiting: Table<u32, u32>,
    /// What is to be done when the response of a stream comes.
    responses: Table<u32, Box<Response>>,
}

/// The key of the shared data. Istio leaves the id of VMs empty, so all modules of a proxy share one namespace.
const FAULTS: &str = "coalmine.faults";

thread_local! {
    static VM: RefCell<Vm> = RefCell::default();
}

/// Runs `work` on the VM's state. The host does not call back while a hostcall runs, but if one ever did, it
/// would get the default rather than a panic.
fn vm<T: Default>(work: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with(|vm| vm.try_borrow_mut().map(|mut vm| work(&mut vm)).unwrap_or_default())
}

#[inline(never)]
fn metric(kind: MetricType, name: &str) -> Option<u32> {
    vm(|vm| {
        if let Some(id) = vm.metrics.get(name) {
            return Some(*id);
        }
        let id = abi::define(kind, name)?;
        vm.metrics.insert(name.to_owned(), id);
        Some(id)
    })
}

fn gauge(name: &str, value: u64) {
    if let Some(id) = metric(MetricType::Gauge, name) {
        abi::record(id, value);
    }
}

#[unsafe(no_mangle)]
extern "C" fn coalmine_on_vm_start(_root: u32, _size: usize) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn coalmine_on_context_create(context: u32, root: u32) {
    vm(|vm| {
        if root == 0 {
            return;
        }
        if let Some((context, root)) = vm.latest.replace((context, root)) {
            vm.waiting.insert(context, root);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn coalmine_on_configure(root: u32, size: usize) -> bool {
    let json = abi::buffer(BufferType::PluginConfiguration, size).unwrap_or_default();
    let (mut config, mut problems) = Config::parse(&json);
    let (keys, missing) =
        keys::load(&mut config, |name| std::env::var_os(name).map(|v| v.into_encoded_bytes()));
    problems.extend(missing);
    let errors = report(&problems);
    for counter in Counter::PLAIN {
        metric(MetricType::Counter, &counter.metric(&config));
    }
    let unknown = problems.iter().filter(|problem| problem.severity == Severity::Unknown).count() as u64;
    let plugin = abi::property(&["plugin_name"]).unwrap_or_default();
    let is_refused = config.inert && config.on_bad_config == OnBadConfig::Reject;
    record_faults(&|text| {
        let plugin = String::from_utf8_lossy(&plugin);
        faults::configured(text, &owner(root), &plugin, Sum { errors, unknown }, is_refused)
    });
    if is_refused {
        return false;
    }
    gauge(CONFIG_HASH, u64::from(crate::bucket::murmur3(0, &[&json])));
    let generation = vm(|vm| {
        vm.generation = vm.generation.saturating_add(1);
        vm.generation
    });
    gauge(CONFIG_GENERATION, generation);
    let active = Rc::new(Active::new(config, keys));
    vm(|vm| vm.roots.insert(root, active));
    true
}

/// Changes what is known of the faults of all plugins, and the gauges with it.
#[inline(never)]
fn record_faults(change: &dyn Fn(&str) -> String) {
    // Another thread may be at it as well. Each attempt that fails is one that another has won.
    for _ in 0..64 {
        let (text, version) = abi::shared(FAULTS).unwrap_or_default();
        let text = change(&String::from_utf8_lossy(&text));
        if !abi::set_shared(FAULTS, text.as_bytes(), version) {
            continue;
        }
        let sum = faults::sum(&text);
        gauge(CONFIG_ERRORS, sum.errors);
        gauge(CONFIG_UNKNOWN, sum.unknown);
        return;
    }
}

/// Who a root context is, in the whole process.
#[inline(never)]
fn owner(root: u32) -> String {
    let token = vm(|vm| {
        if vm.token.is_none() {
            let random = abi::random().map(|bytes| u128::from_le_bytes(bytes) as u64);
            vm.token = Some(random.unwrap_or(0));
        }
        vm.token.unwrap_or(0)
    });
    format!("{token:x}-{root}")
}

#[unsafe(no_mangle)]
extern "C" fn coalmine_on_delete(context: u32) {
    let was_root = vm(|vm| {
        vm.latest.take_if(|(latest, _)| *latest == context);
        vm.waiting.remove(&context);
        vm.responses.remove(&context);
        vm.roots.remove(&context).is_some()
    });
    if was_root {
        // A plugin that is gone must not keep the alarm ringing; one that was configured anew has a new root.
        record_faults(&|text| faults::gone(text, &owner(context)));
    }
}

/// Logs every problem and returns the number of errors.
#[inline(never)]
fn report(problems: &[Problem]) -> u64 {
    let mut errors = 0u64;
    for problem in problems {
        let level = match problem.severity {
            Severity::Error => LogLevel::Critical,
            Severity::Unknown | Severity::Warning => LogLevel::Warn,
        };
        errors = errors.saturating_add(u64::from(problem.severity == Severity::Error));
        abi::log(level, &format!("coalmine: pluginConfig: {problem}"));
    }
    if errors > 0 {
        abi::log(LogLevel::Critical, &format!("coalmine: {errors} errors in pluginConfig; see above"));
    }
    errors
}

#[unsafe(no_mangle)]
extern "C" fn coalmine_on_request_headers(context: u32, _count: usize, _end: bool) -> Action {
    let active = vm(|vm| {
        let root = match vm.latest.take_if(|(latest, _)| *latest == context) {
            Some((_, root)) => root,
            None => vm.waiting.remove(&context)?,
        };
        vm.roots.get(&root).cloned()
    });
    // Without a configuration, which Envoy does not let happen, the tag it most likely protects goes.
    let Some(active) = active else {
        abi::remove_header(MapType::HttpRequestHeaders, DEFAULT_TAG);
        return Action::Continue;
    };
    let (response, redirect) = request(&active);
    // Kept first: the redirect is a response too, and the one that sets the cookie.
    if let Some(response) = response {
        vm(|vm| vm.responses.insert(context, Box::new(response)));
    }
    if redirect.is_some_and(|target| abi::redirect(&target)) {
        return Action::Pause;
    }
    Action::Continue
}

/// Decides, changes the request, and returns what is left to do when the response comes, and where to redirect.
fn request(active: &Active) -> (Option<Response>, Option<String>) {
    let Active { config, keys, needs_clock, .. } = active;
    let map = abi::header_map(MapType::HttpRequestHeaders);
    let Some(mut headers) = map.as_deref().and_then(pairs) else {
        // What cannot be read cannot be judged, but the tags go all the same.
        for tag in &config.tags {
            abi::remove_header(MapType::HttpRequestHeaders, tag);
        }
        return (None, None);
    };
    let address =
        config.needs_client_ip.then(|| abi::property(&["source", "address"])).flatten().unwrap_or_default();
    if !address.is_empty() {
        // `203.0.113.7:53412` or `[2001:db8::7]:53412`.
        let host = host_without_port(&address);
        let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
        headers.push((CLIENT_IP.as_bytes(), bare.unwrap_or(host)));
    }
    let principal = (config.role == Role::Mesh).then(principal).flatten();
    let request = Request { headers: &headers, principal: principal.as_deref() };
    let now = if *needs_clock { abi::seconds() } else { 0 };
    let decision = decide(config, keys, &request, &mut Ambient { now, random: &mut abi::random });
    let effects = effects(config, &request, &decision);
    for change in &effects.request {
        match change {
            Change::Set(name, value) => abi::replace_header(MapType::HttpRequestHeaders, name, value),
            Change::Remove(name) => abi::remove_header(MapType::HttpRequestHeaders, name),
        }
    }
    for counter in &effects.counters {
        active.count(*counter);
    }
    if !effects.state.is_empty() {
        abi::set_property(FILTER_STATE, effects.state.as_bytes());
    }
    ((!effects.response.is_empty()).then_some(effects.response), effects.redirect)
}

#[unsafe(no_mangle)]
extern "C" fn coalmine_on_response_headers(context: u32, _count: usize, _end: bool) -> Action {
    // A response without a request phase, such as another filter's local reply, finds nothing here.
    if let Some(kept) = vm(|vm| vm.responses.remove(&context)) {
        respond(&kept);
    }
    Action::Continue
}

#[inline(never)]
fn respond(response: &Response) {
    const MAP: MapType = MapType::HttpResponseHeaders;
    if !response.cookies.is_empty() {
        let map = abi::header_map(MAP).unwrap_or_default();
        let headers = pairs(&map).unwrap_or_default();
        let values =
            |name: &'static [u8]| headers.iter().filter(move |(key, _)| *key == name).map(|(_, v)| *v);
        for (name, line) in &response.cookies {
            // The application may keep a cookie of the same name; two lines would leave the browser to choose.
            let sent = values(b"set-cookie")
                .any(|value| value.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")));
            if !sent {
                abi::add_header(MAP, "set-cookie", line.as_bytes());
            }
        }
        let upstream: Vec<&[u8]> = values(b"cache-control").collect();
        if response.private
            && let Some(value) = private_cache_control(&upstream.join(&b','))
        {
            abi::replace_header(MAP, "cache-control", value.as_bytes());
        }
    }
    if !response.vary.is_empty() {
        abi::add_header(MAP, "vary", response.vary.as_bytes());
    }
    for (name, value) in &response.headers {
        abi::replace_header(MAP, name, value.as_bytes());
    }
}

/// The peer's SPIFFE id: from its certificate, or from what ambient's ztunnel vouched for, since the inner
/// connection of HBONE has no certificate of its own.
#[inline(never)]
fn principal() -> Option<Box<[u8]>> {
    if abi::property(&["connection", "mtls"]).is_some_and(|mtls| mtls.first() == Some(&1)) {
        return abi::property(&["connection", "uri_san_peer_certificate"]);
    }
    abi::property(&["filter_state", "io.istio.peer_principal"])
}

/// The pairs of a serialised header map: a count, the sizes of every name and value, then the bytes, each
/// followed by a NUL. `None` when it does not add up.
fn pairs(map: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    fn size(bytes: &[u8]) -> Option<(usize, &[u8])> {
        let (number, rest) = bytes.split_first_chunk::<4>()?;
        Some((u32::from_le_bytes(*number) as usize, rest))
    }
    fn text(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
        let (text, rest) = bytes.split_at_checked(size)?;
        Some((text, rest.get(1..)?))
    }
    let (count, mut sizes) = size(map)?;
    let mut bytes = sizes.get(count.checked_mul(8)?..)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_size, rest) = size(sizes)?;
        let (value_size, rest) = size(rest)?;
        sizes = rest;
        let (name, rest) = text(bytes, name_size)?;
        let (value, rest) = text(rest, value_size)?;
        bytes = rest;
        pairs.push((name, value));
    }
    Some(pairs)
}

/// The hostcalls. A call that fails does nothing or returns nothing; none of them can panic.
mod abi {
    use super::{BufferType, LogLevel, MapType, MetricType, Status};

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_log(level: LogLevel, message: *const u8, size: usize) -> u32;
        fn proxy_get_buffer_bytes(
            buffer: BufferType,
            start: usize,
            max: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
        fn proxy_add_header_map_value(
            map: MapType,
            key: *const u8,
            ks: usize,
            value: *const u8,
            vs: usize,
        ) -> u32;
        fn proxy_replace_header_map_value(
            map: MapType,
            key: *const u8,
            ks: usize,
            value: *const u8,
            vs: usize,
        ) -> u32;
        fn proxy_remove_header_map_value(map: MapType, key: *const u8, ks: usize) -> u32;
        fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            ds: usize,
            body: *const u8,
            bs: usize,
            headers: *const u8,
            hs: usize,
            grpc_status: i32,
        ) -> u32;
        fn proxy_get_shared_data(
            key: *const u8,
            ks: usize,
            data: *mut *mut u8,
            size: *mut usize,
            version: *mut u32,
        ) -> u32;
        fn proxy_set_shared_data(key: *const u8, ks: usize, value: *const u8, vs: usize, version: u32)
        -> u32;
        fn proxy_get_property(path: *const u8, ps: usize, data: *mut *mut u8, size: *mut usize) -> u32;
        fn proxy_set_property(path: *const u8, ps: usize, value: *const u8, vs: usize) -> u32;
        fn proxy_define_metric(kind: MetricType, name: *const u8, ns: usize, id: *mut u32) -> u32;
        fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        fn proxy_record_metric(id: u32, value: u64) -> u32;
        fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn random_get(buffer: *mut u8, size: usize) -> u16;
    }

    fn is_ok(status: u32) -> bool {
        status == Status::Ok as u32
    }

    /// Takes over bytes that the host returned through `call`.
    fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Box<[u8]>> {
        let (mut data, mut size) = (std::ptr::null_mut::<u8>(), 0usize);
        if !is_ok(call(&raw mut data, &raw mut size)) {
            return None;
        }
        if data.is_null() || size == 0 {
            return Some(Box::default());
        }
        // SAFETY: the host got `data` from proxy_on_memory_allocate(size), which leaks a boxed slice of exactly
        // that size, filled it, and keeps no reference.
        Some(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)) })
    }

    // SAFETY, for every call below: pointers and sizes describe live slices that the host only reads during the
    // call, and out-parameters are live locals.

    pub(super) fn log(level: LogLevel, message: &str) {
        unsafe { proxy_log(level, message.as_ptr(), message.len()) };
    }

    pub(super) fn buffer(buffer: BufferType, size: usize) -> Option<Box<[u8]>> {
        returned(|data, length| unsafe { proxy_get_buffer_bytes(buffer, 0, size, data, length) })
    }

    pub(super) fn header_map(map: MapType) -> Option<Box<[u8]>> {
        returned(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })
    }

    pub(super) fn add_header(map: MapType, name: &str, value: &[u8]) {
        unsafe { proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    }

    pub(super) fn replace_header(map: MapType, name: &str, value: &[u8]) {
        unsafe {
            proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
        };
    }

    pub(super) fn remove_header(map: MapType, name: &str) {
        unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) };
    }

    /// Answers with a redirect, and says whether the host does.
    #[inline(never)]
    pub(super) fn redirect(target: &str) -> bool {
        const DETAILS: &str = "coalmine_override_pinned";
        let headers: [(&[u8], &[u8]); 2] =
            [(b"location", target.as_bytes()), (b"cache-control", b"no-store")];
        let mut map = (headers.len() as u32).to_le_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            map.extend((text.len() as u32).to_le_bytes());
        }
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            map.extend(*text);
            map.push(0);
        }
        let (details, body) = (DETAILS.as_bytes(), std::ptr::null());
        let (size, map_size) = (details.len(), map.len());
        is_ok(unsafe {
            proxy_send_local_response(302, details.as_ptr(), size, body, 0, map.as_ptr(), map_size, -1)
        })
    }

    pub(super) fn property(path: &[&str]) -> Option<Box<[u8]>> {
        let path = path.join("\0");
        returned(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
    }

    /// What all VMs of the process share under a key, and its version.
    pub(super) fn shared(key: &str) -> Option<(Box<[u8]>, u32)> {
        let mut version = 0;
        let data = returned(|data, size| unsafe {
            proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)
        })?;
        Some((data, version))
    }

    /// Replaces it, unless it is of another version by now; version 0 is any.
    pub(super) fn set_shared(key: &str, value: &[u8], version: u32) -> bool {
        is_ok(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) })
    }

    pub(super) fn set_property(key: &str, value: &[u8]) {
        unsafe { proxy_set_property(key.as_ptr(), key.len(), value.as_ptr(), value.len()) };
    }

    pub(super) fn define(kind: MetricType, name: &str) -> Option<u32> {
        let mut id = 0;
        is_ok(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) }).then_some(id)
    }

    pub(super) fn increment(id: u32) {
        unsafe { proxy_increment_metric(id, 1) };
    }

    pub(super) fn record(id: u32, value: u64) {
        unsafe { proxy_record_metric(id, value) };
    }

    /// Seconds since 1970.
    pub(super) fn seconds() -> u64 {
        let mut nanoseconds = 0;
        unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) };
        nanoseconds / 1_000_000_000
    }

    pub(super) fn random() -> Option<[u8; 16]> {
        let mut bytes = [0; 16];
        (unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) } == 0).then_some(bytes)
    }
}
