//! Links the filter for wasm and cuts away what Envoy would pay for: exports it would call for nothing, sections it
//! never reads, and calls its compiler would inline. Knows the proxy-wasm ABI, not what the filter decides.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;
use walrus::ir::{self, Instr};
use walrus::{ConstExpr, ElementItems, ElementKind, FunctionId, Module, ModuleConfig, TypeId};

use crate::root;
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
        .arg("--config")
        .arg(format!("target.{WASM_TARGET}.linker={}", Value::from(linker()?)))
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

/// The script that stands between rustc and the linker.
fn linker() -> Result<String> {
    let path = root().join("xtask/src/dist/linker.sh");
    path.into_os_string().into_string().map_err(|path| anyhow!("{} is not UTF-8", path.display()))
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
    call_through_the_table(&mut module);
    Ok(module.emit_wasm())
}

/// Turns calls of the module's own functions into calls through its table, which V8 does not inline.
///
/// Envoy has V8 optimise a whole module before the first request, and V8 inlines every small function once more where
/// it is called, after LLVM has inlined what is worth it. That doubles the time until Envoy is ready; no difference
/// was measured per request.
fn call_through_the_table(module: &mut Module) {
    // A module without pointers to functions has no table.
    let Some(table) = module.tables.iter().next().map(walrus::Table::id) else { return };
    let first = module.tables.get(table).initial;
    let mut called: Vec<FunctionId> = Vec::new();
    let mut places: HashMap<FunctionId, (u64, TypeId)> = HashMap::new();
    for (id, function) in module.funcs.iter_local() {
        places.insert(id, (first + called.len() as u64, function.ty()));
        called.push(id);
    }
    for (_, function) in module.funcs.iter_local_mut() {
        let mut blocks = Blocks::default();
        ir::dfs_in_order(&mut blocks, function, function.entry_block());
        for block in blocks.0 {
            let instructions = &mut function.block_mut(block).instrs;
            for (instruction, at) in std::mem::take(instructions) {
                let place = match &instruction {
                    Instr::Call(call) => places.get(&call.func),
                    _ => None,
                };
                let Some(&(place, ty)) = place else {
                    instructions.push((instruction, at));
                    continue;
                };
                let value = ir::Value::I32(place as i32);
                instructions.push((Instr::Const(ir::Const { value }), at));
                instructions.push((Instr::CallIndirect(ir::CallIndirect { ty, table }), at));
            }
        }
    }
    let grown = module.tables.get_mut(table);
    grown.initial += called.len() as u64;
    grown.maximum = grown.maximum.map(|maximum| maximum.max(grown.initial));
    let offset = ConstExpr::Value(ir::Value::I32(first as i32));
    let kind = ElementKind::Active { table, offset };
    let segment = module.elements.add(kind, ElementItems::Functions(called));
    module.tables.get_mut(table).elem_segments.insert(segment);
}

/// The blocks of a function.
#[derive(Default)]
struct Blocks(Vec<ir::InstrSeqId>);

impl<'f> ir::Visitor<'f> for Blocks {
    fn start_instr_seq(&mut self, block: &'f ir::InstrSeq) {
        self.0.push(block.id());
    }
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
    fn calls_go_through_the_table_and_reach_the_function_they_reached() {
        let mut module = Module::from_buffer(&linked("proxy_log", &[])).unwrap();
        let table = module.tables.add_local(false, 5, Some(5), walrus::RefType::FUNCREF);
        let callee = module.exports.get_func("coalmine_on_configure").unwrap();
        let mut caller = FunctionBuilder::new(&mut module.types, &[], &[ValType::I32]);
        let ty = module.funcs.get(callee).ty();
        caller.func_body().block(ValType::I32, |block| {
            // A pointer to a function of the source, so that the linker's table is used.
            block.i32_const(7).i32_const(1).call_indirect(ty, table).call(callee);
        });
        let caller = caller.finish(vec![], &mut module.funcs);
        module.exports.add("coalmine_on_vm_start", caller);

        let module = Module::from_buffer(&slim(&module.emit_wasm()).unwrap()).unwrap();
        let exported = |name: &str| module.exports.get_func(name).unwrap();
        let body = |name: &str| {
            let function = module.funcs.get(exported(name)).kind.unwrap_local();
            let mut blocks = Blocks::default();
            ir::dfs_in_order(&mut blocks, function, function.entry_block());
            let all = blocks.0.into_iter().flat_map(|block| &function.block(block).instrs);
            all.map(|(instruction, _)| instruction.clone()).collect::<Vec<_>>()
        };
        let caller = body("proxy_on_vm_start");
        let [.., Instr::Const(place), Instr::CallIndirect(_)] = caller.as_slice() else {
            panic!("{caller:?}");
        };
        let ir::Value::I32(place) = place.value else { panic!("{place:?}") };
        let segment = module.elements.iter().next().unwrap();
        let ElementKind::Active { offset: ConstExpr::Value(ir::Value::I32(first)), .. } = segment.kind else {
            panic!("{segment:?}");
        };
        let ElementItems::Functions(functions) = &segment.items else { panic!("{segment:?}") };
        assert_eq!(functions[(place - first) as usize], exported("proxy_on_configure"));
        assert_eq!(first, 5, "after what the linker put there");
        let table = module.tables.iter().next().unwrap();
        assert!(table.initial as usize == 5 + functions.len() && table.maximum == Some(table.initial));
        // A host function is no function of the module: V8 does not inline it, and the table would cost.
        assert!(matches!(body("proxy_on_configure").as_slice(), [.., Instr::Call(_)]));
    }

    #[test]
    fn a_module_without_the_abi_is_refused() {
        let mut module = Module::from_buffer(&linked("proxy_log", &[])).unwrap();
        module.exports.remove("proxy_abi_version_0_2_1").unwrap();
        let error = slim(&module.emit_wasm()).unwrap_err().to_string();
        assert!(error.contains("proxy_abi_version_0_2_1"), "{error}");
    }
}
