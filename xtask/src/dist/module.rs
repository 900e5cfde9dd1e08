//! Links the filter for wasm and cuts away what Envoy would pay for: exports it would call for nothing, and sections
//! it never reads. Knows the proxy-wasm ABI, not what the filter decides.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use walrus::{Module, ModuleConfig};

use crate::tools::WASM_TARGET;

/// Every host function the module may import: ABI 0.2.1 and the WASI calls that every Envoy with it has. A host that
/// lacks one refuses the whole listener, so a new name here is a decision about which hosts are supported.
const IMPORTS: &[(&str, &[&str])] = &[
    (
        "env",
        &[
            "proxy_add_header_map_value",
            "proxy_call_foreign_function",
            "proxy_close_stream",
            "proxy_continue_stream",
            "proxy_define_metric",
            "proxy_dequeue_shared_queue",
            "proxy_done",
            "proxy_enqueue_shared_queue",
            "proxy_get_buffer_bytes",
            "proxy_get_current_time_nanoseconds",
            "proxy_get_header_map_pairs",
            "proxy_get_header_map_value",
            "proxy_get_log_level",
            "proxy_get_property",
            "proxy_get_shared_data",
            "proxy_get_status",
            "proxy_grpc_call",
            "proxy_grpc_cancel",
            "proxy_grpc_close",
            "proxy_grpc_send",
            "proxy_grpc_stream",
            "proxy_http_call",
            "proxy_increment_metric",
            "proxy_log",
            "proxy_record_metric",
            "proxy_register_shared_queue",
            "proxy_remove_header_map_value",
            "proxy_replace_header_map_value",
            "proxy_resolve_shared_queue",
            "proxy_send_local_response",
            "proxy_set_buffer_bytes",
            "proxy_set_header_map_pairs",
            "proxy_set_property",
            "proxy_set_shared_data",
            "proxy_set_tick_period_milliseconds",
        ],
    ),
    (
        "wasi_snapshot_preview1",
        &["clock_time_get", "environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"],
    ),
];

/// What stays exported besides the filter's own callbacks.
const EXPORTS: &[&str] = &["_initialize", "memory", "proxy_abi_version_0_2_1", "proxy_on_memory_allocate"];

/// What the filter's own callbacks are linked as. The SDK exports every callback there is, and Envoy enters the
/// module for each one it finds: the filter's take their places here, and the rest go.
const OWN: &str = "coalmine_on_";

/// Compiles and links the filter of this checkout, and answers the linked module.
pub(super) fn build(checkout: &Path, target_dir: Option<&Path>) -> Result<Vec<u8>> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(checkout)
        .args(["rustc", "--package", "coalmine-filter", "--lib", "--crate-type", "cdylib"])
        .args(["--profile", "plugin", "--target", WASM_TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        // Flags of the caller's environment would replace ours and change the bytes.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .arg("--config")
        .arg(format!("target.{WASM_TARGET}.rustflags={}", Value::from(remapped_paths(checkout)?)))
        .stderr(Stdio::inherit());
    if let Some(dir) = target_dir {
        cargo.arg("--target-dir").arg(dir);
    }
    let output = cargo.output().context("cannot start `cargo`")?;
    if !output.status.success() {
        bail!("building the filter for {WASM_TARGET} failed: {}", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let module = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .rfind(|name| name.extension().is_some_and(|extension| extension == "wasm"))
        .context("cargo built no .wasm file")?;
    std::fs::read(&module).with_context(|| format!("cannot read {}", module.display()))
}

/// Compiler flags that keep this machine's paths out of the module's panic messages.
pub(crate) fn remapped_paths(checkout: &Path) -> Result<Vec<String>> {
    let ask = |args: &[&str]| -> Result<String> {
        let output = Command::new("rustc")
            .args(args)
            .current_dir(checkout)
            .output()
            .context("cannot start `rustc`")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let version = ask(&["-vV"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
    let sources = format!("{}/lib/rustlib/src/rust", ask(&["--print", "sysroot"])?);
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("cargo's home folder is unknown")?;
    Ok(vec![
        format!("--remap-path-prefix={}=/cargo", home.display()),
        format!("--remap-path-prefix={sources}=/rustc/{commit}"),
        format!("--remap-path-prefix={}=/coalmine", checkout.display()),
    ])
}

/// The module as it is shipped: imports checked, needless exports and all custom sections gone.
pub(super) fn slim(linked: &[u8]) -> Result<Vec<u8>> {
    let mut config = ModuleConfig::new();
    config.generate_name_section(false).generate_producers_section(false);
    let mut module = config.parse(linked).context("the linked module is not valid")?;
    let needless: Vec<_> = module
        .exports
        .iter()
        .filter(|export| !EXPORTS.contains(&export.name.as_str()) && !export.name.starts_with(OWN))
        .map(walrus::Export::id)
        .collect();
    for export in needless {
        module.exports.delete(export);
    }
    for export in module.exports.iter_mut() {
        if let Some(callback) = export.name.strip_prefix(OWN) {
            export.name = format!("proxy_on_{callback}");
        }
    }
    walrus::passes::gc::run(&mut module);
    let custom: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    for section in custom {
        module.customs.delete(section);
    }
    check(&module)?;
    Ok(module.emit_wasm())
}

/// Refuses a module that some supported host would refuse, or could not call.
fn check(module: &Module) -> Result<()> {
    let unknown: Vec<String> = module
        .imports
        .iter()
        .filter(|import| {
            let known = |(module, names): &(&str, &[&str])| {
                import.module == *module && names.contains(&import.name.as_str())
            };
            !IMPORTS.iter().any(known)
        })
        .map(|import| format!("{}.{}", import.module, import.name))
        .collect();
    if !unknown.is_empty() {
        bail!(
            "the module imports {}: a host without it refuses the listener. Avoid it, or add it to IMPORTS in {} after \
             checking the oldest supported Envoy",
            unknown.join(", "),
            file!()
        );
    }
    for needed in ["memory", "proxy_abi_version_0_2_1", "proxy_on_configure", "proxy_on_request_headers"] {
        if !module.exports.iter().any(|export| export.name == needed) {
            bail!("the module does not export `{needed}`: Envoy could not use it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use walrus::{FunctionBuilder, ModuleConfig, ValType};

    use super::*;

    /// A module with this import and these exports besides the ones Envoy needs.
    fn linked(import: &str, exports: &[&str]) -> Vec<u8> {
        let mut module = Module::with_config(ModuleConfig::new());
        let signature = module.types.add(&[ValType::I32], &[ValType::I32]);
        let (host, _) = module.add_import_func("env", import, signature);
        let memory = module.memories.add_local(false, false, 1, None, None);
        module.exports.add("memory", memory);
        let needed = ["proxy_abi_version_0_2_1", "coalmine_on_configure", "coalmine_on_request_headers"];
        for name in needed.iter().chain(exports) {
            let argument = module.locals.add(ValType::I32);
            let mut function = FunctionBuilder::new(&mut module.types, &[ValType::I32], &[ValType::I32]);
            function.func_body().local_get(argument).call(host);
            let function = function.finish(vec![argument], &mut module.funcs);
            module.exports.add(name, function);
        }
        module.emit_wasm()
    }

    #[test]
    fn an_import_outside_the_list_is_refused_by_name() {
        let error = slim(&linked("proxy_get_http_call_response", &[])).unwrap_err().to_string();
        assert!(error.contains("env.proxy_get_http_call_response"), "{error}");
        slim(&linked("proxy_log", &[])).unwrap();
    }

    #[test]
    fn own_callbacks_take_the_place_of_the_sdks_and_the_rest_go_with_their_code() {
        let sdk =
            ["proxy_on_request_headers", "proxy_on_request_body", "proxy_on_log", "proxy_on_memory_allocate"];
        let slim = slim(&linked("proxy_log", &sdk)).unwrap();
        let module = Module::from_buffer(&slim).unwrap();
        let mut names: Vec<_> = module.exports.iter().map(|export| export.name.as_str()).collect();
        names.sort_unstable();
        let expected = [
            "memory",
            "proxy_abi_version_0_2_1",
            "proxy_on_configure",
            "proxy_on_memory_allocate",
            "proxy_on_request_headers",
        ];
        assert_eq!(names, expected);
        assert_eq!(module.funcs.iter_local().count(), 4, "every export but the memory, and nothing else");
        assert_eq!(module.customs.iter().count(), 0);
    }

    #[test]
    fn a_module_without_the_abi_is_refused() {
        let mut module = Module::from_buffer(&linked("proxy_log", &[])).unwrap();
        module.exports.remove("proxy_abi_version_0_2_1").unwrap();
        let error = slim(&module.emit_wasm()).unwrap_err().to_string();
        assert!(error.contains("proxy_abi_version_0_2_1"), "{error}");
    }
}
