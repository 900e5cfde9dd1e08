//! The proxy-wasm host adapter: reads what the core needs, calls it, writes what it says. Decides nothing.
//!
//! The SDK supplies the ABI's exports, types and context bookkeeping; its hostcalls are not used, because they
//! panic on a status they do not expect, and one panic takes the VM, and with it a worker, down. The calls below
//! report failure instead. A request costs one hostcall that returns bytes, the header map: getting one header
//! costs nearly as much, and returns only the first of several `Cookie` lines. Nothing about the request can be
//! read once it has been sent on, so what the response needs is worked out in the request phase and kept.

#![allow(unsafe_code)]

use crate::config::{Config, OnBadConfig, Problem, Role, Severity};
use crate::decide::{Ambient, Reason, Request, decide};
use crate::effects::{
    CONFIG_ERRORS, CONFIG_HASH, CONFIG_UNKNOWN, Change, Counter, FILTER_STATE, Response, effects,
    private_cache_control,
};
use crate::token::Keys;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel, MapType, MetricType, Status};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { active: RefCell::new(Rc::default()) }));
}}

/// A configuration in force, shared with the streams that began under it.
#[derive(Default)]
struct Active {
    config: Config,
    keys: Keys,
    needs_clock: bool,
    /// Metric ids by flag, variant and reason, filled on first use.
    decisions: Vec<Vec<Cell<Option<u32>>>>,
}

impl Active {
    fn new(config: Config, keys: Keys) -> Active {
        let cells = |flag: &crate::config::Flag| {
            let count = flag.variants.len().saturating_add(1).saturating_mul(Reason::ALL.len());
            vec![Cell::new(None); count]
        };
        let decisions = config.flags.iter().map(cells).collect();
        Active { needs_clock: config.needs_clock(), decisions, config, keys }
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
            plain => metric(MetricType::Counter, &plain.metric(&self.config)),
        };
        if let Some(id) = id {
            abi::increment(id);
        }
    }
}

/// What lives as long as the VM, and so across configurations and plugins that share the module.
#[derive(Default)]
struct Vm {
    /// Ids of metrics by name: the host hands out a new id for every definition and never forgets one.
    metrics: BTreeMap<String, u32>,
    /// Errors and unknown fields by plugin: the gauges are sums, or a good plugin would hide a bad one.
    faults: BTreeMap<Vec<u8>, (u64, u64)>,
}

thread_local! {
    static VM: RefCell<Vm> = RefCell::default();
}

fn metric(kind: MetricType, name: &str) -> Option<u32> {
    VM.with_borrow_mut(|vm| {
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

struct Root {
    active: RefCell<Rc<Active>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let json = abi::buffer(BufferType::PluginConfiguration, size).unwrap_or_default();
        let (config, mut problems) = Config::parse(&json);
        let (keys, missing) = config.load_keys(|name| std::env::var_os(name).map(|v| v.into_encoded_bytes()));
        problems.extend(missing);
        let errors = report(&problems);
        for counter in Counter::PLAIN {
            metric(MetricType::Counter, &counter.metric(&config));
        }
        let plugin = abi::property(&["plugin_name"]).unwrap_or_default().into_vec();
        let unknown = problems.iter().filter(|problem| problem.severity == Severity::Unknown).count() as u64;
        let (errors_sum, unknown_sum) = VM.with_borrow_mut(|vm| {
            vm.faults.insert(plugin, (errors, unknown));
            vm.faults.values().fold((0u64, 0u64), |sum, one| (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1)))
        });
        gauge(CONFIG_ERRORS, errors_sum);
        gauge(CONFIG_UNKNOWN, unknown_sum);
        if config.inert && config.on_bad_config == OnBadConfig::Reject {
            return false;
        }
        gauge(CONFIG_HASH, u64::from(crate::bucket::murmur3(0, &[&json])));
        self.active.replace(Rc::new(Active::new(config, keys)));
        true
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { active: Rc::clone(&self.active.borrow()), response: None }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Logs every problem and returns the number of errors.
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

struct Stream {
    active: Rc<Active>,
    /// What to do when the response comes; `None` when there was no request phase or there is nothing to do.
    response: Option<Box<Response>>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Active { config, keys, needs_clock, .. } = &*self.active;
        let map = abi::header_map(MapType::HttpRequestHeaders).unwrap_or_default();
        let headers = pairs(&map);
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
            self.active.count(*counter);
        }
        if !effects.state.is_empty() {
            abi::set_property(FILTER_STATE, effects.state.as_bytes());
        }
        self.response = (!effects.response.is_empty()).then(|| Box::new(effects.response));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(response) = self.response.take() else { return Action::Continue };
        const MAP: MapType = MapType::HttpResponseHeaders;
        if !response.cookies.is_empty() {
            let map = abi::header_map(MAP).unwrap_or_default();
            let headers = pairs(&map);
            let values = |name: &'static [u8]| headers.iter().filter(move |(key, _)| *key == name).map(|(_, v)| *v);
            for (name, line) in &response.cookies {
                // The application may keep a cookie of the same name; two lines would leave the browser to choose.
                let sent = values(b"set-cookie")
                    .any(|value| value.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")));
                if !sent {
                    abi::add_header(MAP, "set-cookie", line.as_bytes());
                }
            }
            let upstream: Vec<&[u8]> = values(b"cache-control").collect();
            if response.private && let Some(value) = private_cache_control(&upstream.join(&b',')) {
                abi::replace_header(MAP, "cache-control", value.as_bytes());
            }
        }
        if !response.vary.is_empty() {
            abi::add_header(MAP, "vary", response.vary.as_bytes());
        }
        for (name, value) in &response.headers {
            abi::replace_header(MAP, name, value.as_bytes());
        }
        Action::Continue
    }
}

/// The peer's SPIFFE id: from its certificate, or from what ambient's ztunnel vouched for, since the inner
/// connection of HBONE has no certificate of its own.
fn principal() -> Option<Box<[u8]>> {
    if abi::property(&["connection", "mtls"]).is_some_and(|mtls| mtls.first() == Some(&1)) {
        return abi::property(&["connection", "uri_san_peer_certificate"]);
    }
    abi::property(&["filter_state", "io.istio.peer_principal"])
}

/// The pairs of a serialised header map: a count, the sizes of every name and value, then the bytes, each
/// followed by a NUL. A map that does not add up yields the pairs before the fault.
fn pairs(map: &[u8]) -> Vec<(&[u8], &[u8])> {
    fn split(bytes: &[u8]) -> Option<(usize, &[u8])> {
        let (number, rest) = bytes.split_first_chunk::<4>()?;
        Some((u32::from_le_bytes(*number) as usize, rest))
    }
    let Some((count, mut sizes)) = split(map) else { return Vec::new() };
    let Some(mut bytes) = count.checked_mul(8).and_then(|length| sizes.get(length..)) else { return Vec::new() };
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let mut take = || {
            let (size, rest) = split(sizes)?;
            sizes = rest;
            let (text, rest) = bytes.split_at_checked(size)?;
            bytes = rest.get(1..)?;
            Some(text)
        };
        let (Some(name), Some(value)) = (take(), take()) else { break };
        pairs.push((name, value));
    }
    pairs
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
        fn proxy_add_header_map_value(map: MapType, key: *const u8, ks: usize, value: *const u8, vs: usize) -> u32;
        fn proxy_replace_header_map_value(
            map: MapType,
            key: *const u8,
            ks: usize,
            value: *const u8,
            vs: usize,
        ) -> u32;
        fn proxy_remove_header_map_value(map: MapType, key: *const u8, ks: usize) -> u32;
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
        unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    }

    pub(super) fn remove_header(map: MapType, name: &str) {
        unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) };
    }

    pub(super) fn property(path: &[&str]) -> Option<Box<[u8]>> {
        let path = path.join("\0");
        returned(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
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
